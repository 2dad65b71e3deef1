package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// A lock that an `etcdctl lock` holds, until a file is there.
type command struct {
	process *exec.Cmd
	file    string
	errors  *bytes.Buffer
}

var commands atomic.Int64

// Waits for the lock. The etcdctl is the one beside this program, and ends with it.
func lockByEtcdctl(address, name, ttl string) (*command, error) {
	millis, err := strconv.Atoi(ttl)
	if err != nil {
		return nil, err
	}
	this, err := os.Executable()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(os.TempDir(), fmt.Sprintf("etcdctl-%d-%d", os.Getpid(), commands.Add(1)))
	// It gives its command no input.
	hold := fmt.Sprintf("echo holding; while [ ! -e %s ] && kill -0 $PPID; do sleep 0.02; done", file)
	process := exec.Command(filepath.Join(filepath.Dir(this), "etcdctl"), "--endpoints", address, "lock", "--ttl",
		strconv.Itoa(millis/1000), name, "sh", "--", "-c", hold)
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c := &command{process: process, file: file, errors: &bytes.Buffer{}}
	process.Stderr = c.errors
	output, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		return nil, err
	}
	if line, _ := bufio.NewReader(output).ReadString('\n'); strings.TrimSpace(line) != "holding" {
		return nil, errors.Join(errors.New("no lock: "+line), c.end())
	}
	return c, nil
}

func (c *command) release(context.Context) error {
	if err := os.WriteFile(c.file, nil, 0o600); err != nil {
		return err
	}
	defer os.Remove(c.file)
	return c.end()
}

func (c *command) end() error {
	if err := c.process.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, c.errors)
	}
	return nil
}
