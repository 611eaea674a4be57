package testenv

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second
	pollInterval = 10 * time.Millisecond
	logTail      = 8 << 10 // bytes of a server's log that a failed test shows
)

// A process is a running server. It ends with the process of the test, even if that is killed: then its standard input ends.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{} // closed when it has ended
}

// startProcess starts the server in a directory of its own, which is left for the next start, and waits until it listens at url.
func startProcess(t testing.TB, binary, dir string, args ...string) (p *process, url string, err error) {
	t.Helper()
	addrFile, logFile := filepath.Join(dir, "url"), filepath.Join(dir, "log")
	if err := os.Remove(addrFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, "", err
	}
	log, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, "", err
	}
	defer log.Close()
	cmd := exec.Command(binary, append(args, "-tethered", "-addr-file", addrFile)...)
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	p = &process{cmd: cmd, stdin: stdin, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		cmd.Wait()
	}()
	if url, err = p.waitForURL(addrFile); err != nil {
		p.kill()
		return nil, "", errors.Join(err, errors.New(tail(logFile)))
	}
	return p, url, nil
}

func (p *process) waitForURL(addrFile string) (string, error) {
	timeout := time.After(startTimeout)
	for {
		if url, err := os.ReadFile(addrFile); err == nil {
			return string(url), nil
		}
		select {
		case <-p.done:
			return "", errors.New("the server ended as soon as it started")
		case <-timeout:
			return "", errors.New("the server does not listen")
		case <-time.After(pollInterval):
		}
	}
}

// kill ends the process as kill -9 does, and waits for it. A process that has ended stays ended.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
	p.stdin.Close()
}

// tail returns the end of a log.
func tail(path string) string {
	log, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(log[max(0, len(log)-logTail):]))
}
