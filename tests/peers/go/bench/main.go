// One process of a case with Go's concurrency.Mutex: arguments, input and output are those of worker.rs.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/api/v3/version"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func now() int64 { return time.Now().UnixNano() / 1000 }

func number(text string) int64 {
	value, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	check(err)
	return value
}

func main() {
	if os.Args[1] == "version" {
		fmt.Printf("etcd's Go client %s (%s)\n", version.Version, runtime.Version())
		return
	}
	endpoints, key := strings.Split(os.Args[1], ","), os.Args[2]
	tasks, own, body := int(number(os.Args[3])), os.Args[4] == "own", time.Duration(number(os.Args[5]))*time.Millisecond
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second})
	check(err)
	// Two mutexes of one session on one key would be one holder: each task has a session of its own.
	sessions := make([]*concurrency.Session, tasks)
	for task := range sessions {
		if own && task > 0 {
			sessions[task] = sessions[0]
			continue
		}
		sessions[task], err = concurrency.NewSession(client, concurrency.WithTTL(60))
		check(err)
	}
	fmt.Println("ready")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	check(err)
	end := number(line)

	holds := make([][][4]int64, tasks)
	var group sync.WaitGroup
	for task := 0; task < tasks; task++ {
		group.Add(1)
		go func(task int) {
			defer group.Done()
			name := key
			if own {
				name = fmt.Sprintf("%s-%d", key, task)
			}
			mutex := concurrency.NewMutex(sessions[task], name)
			// At least once, however late this process began.
			for requested := now(); requested < end || len(holds[task]) == 0; requested = now() {
				check(mutex.Lock(context.Background()))
				granted := now()
				if body > 0 {
					time.Sleep(body)
				}
				releasing := now()
				check(mutex.Unlock(context.Background()))
				holds[task] = append(holds[task], [4]int64{requested, granted, releasing, now()})
			}
		}(task)
	}
	group.Wait()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, one := range holds {
		for _, hold := range one {
			fmt.Fprintln(out, hold[0], hold[1], hold[2], hold[3])
		}
	}
	fmt.Fprintln(out, "end")
}
