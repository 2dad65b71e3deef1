// Drives the locks of etcd's own client for Go; tests/support/peers says how the lines are read and answered.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

// A slot has at most one lock at a time, under a session of its own that serves one lock after another.
type slot struct {
	name    string
	lines   chan []string
	session *concurrency.Session
	held    held
}

// What is held: a Mutex, the leadership of an Election, or what an etcdctl holds.
type held interface {
	release(context.Context) error
}

// What can be a condition of the application's own transaction.
type owned interface{ owned() clientv3.Cmp }

type mutex struct{ *concurrency.Mutex }

func (m mutex) release(ctx context.Context) error { return m.Unlock(ctx) }
func (m mutex) owned() clientv3.Cmp               { return m.IsOwner() }

type election struct{ *concurrency.Election }

func (e election) release(ctx context.Context) error { return e.Resign(ctx) }
func (e election) owned() clientv3.Cmp {
	return clientv3.Compare(clientv3.CreateRevision(e.Key()), "=", e.Rev())
}

func main() {
	slots := map[string]*slot{}
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		words := strings.Fields(input.Text())
		s := slots[words[0]]
		if s == nil {
			s = &slot{name: words[0], lines: make(chan []string, 16)}
			slots[words[0]] = s
			go s.serve()
		}
		s.lines <- words[1:]
	}
}

func (s *slot) serve() {
	// What an etcdctl of this slot dies with.
	runtime.LockOSThread()
	for words := range s.lines {
		answer, err := s.act(words)
		if err != nil {
			answer = "error " + strings.ReplaceAll(err.Error(), "\n", " ")
			s.giveUp()
		}
		s.say(answer)
	}
}

func (s *slot) act(words []string) (string, error) {
	ctx := context.Background()
	switch words[0] {
	case "lock", "try": // KIND ADDRESS NAME TTL
		s.say("waiting")
		return s.take(ctx, words[0] == "lock", words[1], words[2], words[3], words[4])
	case "unlock":
		released := s.held
		s.held = nil
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return "released", released.release(ctx)
	case "owns": // as a transaction of the application that depends on the lock
		condition, ok := s.held.(owned)
		if !ok {
			return "", errors.New("it has no condition")
		}
		answer, err := s.session.Client().Txn(ctx).If(condition.owned()).Commit()
		if err != nil {
			return "", err
		}
		return strconv.FormatBool(answer.Succeeded), nil
	}
	return "", fmt.Errorf("no command %q", words[0])
}

func (s *slot) take(ctx context.Context, waits bool, kind, address, name, ttl string) (string, error) {
	if kind == "etcdctl" {
		command, err := lockByEtcdctl(address, name, ttl)
		if err != nil {
			return "", err
		}
		s.held = command
		return "holding", nil
	}
	if err := s.open(address, ttl); err != nil {
		return "", err
	}
	if kind == "election" {
		e := concurrency.NewElection(s.session, name)
		if err := e.Campaign(ctx, s.name); err != nil {
			return "", err
		}
		s.held = election{e}
		return "holding", nil
	}
	m := concurrency.NewMutex(s.session, name)
	take := m.TryLock
	if waits {
		take = m.Lock
	}
	err := take(ctx)
	if errors.Is(err, concurrency.ErrLocked) {
		return "busy", nil
	}
	if err != nil {
		return "", err
	}
	s.held = mutex{m}
	return fmt.Sprintf("holding %d", m.Header().Revision), nil
}

// Opens a session unless there is one that has not ended.
func (s *slot) open(address, ttl string) error {
	if s.session != nil {
		select {
		case <-s.session.Done():
			s.session = nil
		default:
			return nil
		}
	}
	client, err := connect(address)
	if err != nil {
		return err
	}
	millis, err := strconv.Atoi(ttl)
	if err != nil {
		return err
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(millis/1000))
	if err != nil {
		return err
	}
	s.session = session
	go func() {
		<-session.Done()
		s.say("lost")
	}()
	return nil
}

// After an error the entry may be in the store: the session ends, and the lease with it.
func (s *slot) giveUp() {
	session := s.session
	s.session, s.held = nil, nil
	if session != nil {
		session.Orphan()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, _ = session.Client().Revoke(ctx, session.Lease())
	}
}

var output sync.Mutex

func (s *slot) say(answer string) {
	output.Lock()
	defer output.Unlock()
	fmt.Println(s.name, answer)
}

var (
	clients    = map[string]*clientv3.Client{}
	clientsMut sync.Mutex
)

// One client for each store, as in an application.
func connect(address string) (*clientv3.Client, error) {
	clientsMut.Lock()
	defer clientsMut.Unlock()
	if client := clients[address]; client != nil {
		return client, nil
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            strings.Split(address, ","),
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    time.Second,
		DialKeepAliveTimeout: time.Second,
		Logger:               zap.NewNop(),
	})
	if err == nil {
		clients[address] = client
	}
	return client, err
}
