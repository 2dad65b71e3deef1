// A driver of client-go's leader election, as tests/support/peers describes drivers. The one kind is `elector`; the address is
// `https://host:port,CA,TOKEN`, with the names of two files.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
)

func main() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	slots := map[string]*slot{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		name := words[0]
		if slots[name] == nil {
			slots[name] = &slot{name: name, commands: make(chan []string, 64)}
			go slots[name].run()
		}
		slots[name].commands <- words[1:]
	}
	// At once, as if it were killed.
	os.Exit(0)
}

type slot struct {
	name     string
	commands chan []string
	campaign *campaign
}

type campaign struct {
	cancel context.CancelFunc
	leads  chan struct{}
	ended  chan struct{}
	asked  chan struct{}
}

func (s *slot) run() {
	for words := range s.commands {
		answer, err := s.act(words)
		if err != nil {
			answer = "error " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		s.say(answer)
	}
}

func (s *slot) act(words []string) (string, error) {
	switch words[0] {
	case "lock": // KIND ADDRESS NAME TTL
		s.say("waiting")
		return s.lead(words[2], words[3], words[4])
	case "unlock":
		c := s.campaign
		s.campaign = nil
		close(c.asked)
		c.cancel()
		<-c.ended
		return "released", nil
	}
	return "", fmt.Errorf("no command %q", words[0])
}

// Leads as a controller does: for two thirds of its lease without a renewal, which is tried five times in them.
func (s *slot) lead(address, name, ttl string) (string, error) {
	millis, err := strconv.Atoi(ttl)
	if err != nil {
		return "", err
	}
	parts := strings.Split(address, ",")
	config := &rest.Config{Host: parts[0], TLSClientConfig: rest.TLSClientConfig{CAFile: parts[1]}, BearerTokenFile: parts[2]}
	config.QPS, config.Burst = -1, -1
	config.Timeout = time.Duration(millis) * time.Millisecond / 3
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &campaign{cancel, make(chan struct{}), make(chan struct{}), make(chan struct{})}
	duration := time.Duration(millis) * time.Millisecond
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: name, Namespace: "default"},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: fmt.Sprintf("client-go_%d_%s_%d", os.Getpid(), s.name, time.Now().UnixNano())},
		},
		LeaseDuration: duration, RenewDeadline: duration * 2 / 3, RetryPeriod: duration / 8, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(c.leads) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		cancel()
		return "", err
	}
	go func() {
		elector.Run(ctx)
		close(c.ended)
		select {
		case <-c.asked:
		default:
			s.say("lost")
		}
	}()
	s.campaign = c
	<-c.leads
	return "holding", nil
}

var output sync.Mutex

func (s *slot) say(answer string) {
	output.Lock()
	defer output.Unlock()
	fmt.Println(s.name, answer)
}
