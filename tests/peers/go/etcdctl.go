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
	"syscall"
)

// A lock that an `etcdctl lock` holds, for as long as a file is there.
type command struct {
	process *exec.Cmd
	file    string
	errors  *bytes.Buffer
}

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
	file, err := os.CreateTemp("", "etcdctl-")
	if err != nil {
		return nil, err
	}
	file.Close()
	// It gives its command no input.
	hold := fmt.Sprintf("echo holding; while [ -e %s ] && kill -0 $PPID; do sleep 0.02; done", file.Name())
	process := exec.Command(filepath.Join(filepath.Dir(this), "etcdctl"), "--endpoints", address, "lock", "--ttl",
		strconv.Itoa(millis/1000), name, "sh", "--", "-c", hold)
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c := &command{process: process, file: file.Name(), errors: &bytes.Buffer{}}
	process.Stderr = c.errors
	output, err := process.StdoutPipe()
	if err == nil {
		err = process.Start()
	}
	if err != nil {
		os.Remove(c.file)
		return nil, err
	}
	if line, _ := bufio.NewReader(output).ReadString('\n'); strings.TrimSpace(line) != "holding" {
		os.Remove(c.file)
		return nil, errors.Join(errors.New("no lock: "+line), c.end())
	}
	return c, nil
}

func (c *command) release(context.Context) error {
	os.Remove(c.file)
	return c.end()
}

func (c *command) end() error {
	if err := c.process.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, c.errors)
	}
	return nil
}
