package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// A process is a running server.
type process struct {
	cmd  *exec.Cmd
	url  string
	done chan struct{} // closed when it has ended, with err set
	err  error
}

// startProcess starts a server and waits until it says that it is ready. What it writes goes to the log.
func startProcess(binary string, log io.Writer, args ...string) (*process, error) {
	cmd := exec.Command(binary, args...)
	cmd.Stderr = log
	cmd.SysProcAttr = endsWithParent()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started, ready := make(chan error, 1), make(chan string, 1)
	go func() {
		// A process that ends with its parent ends with the thread that has started it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(p.done)
		readyLine(io.TeeReader(stdout, log), ready)
		p.err = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	select {
	case p.url = <-ready:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("the server ended as soon as it started: %w", p.err)
	case <-time.After(startTimeout):
		p.kill()
		return nil, errors.New("the server is not ready")
	}
}

// readyLine reads all that a server writes, and sends the URL of the line "ready URL".
func readyLine(stdout io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			select {
			case ready <- strings.TrimSpace(url):
			default:
			}
		}
	}
	io.Copy(io.Discard, stdout)
}

// terminate asks the process to end as a service manager does, and waits for it.
func (p *process) terminate() error {
	if err := p.cmd.Process.Signal(terminate); err != nil {
		return err
	}
	return p.wait()
}

func (p *process) wait() error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopTimeout):
		p.kill()
		return errors.New("the server does not stop")
	}
}

// kill ends the process as kill -9 does, and waits for it. A process that has ended stays ended.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// A logBuffer keeps what a server has written.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
