package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Process is a program that a test started. It is killed when the test ends,
// and what it wrote last is shown if the test failed.
type Process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdout output
	stderr output
	done   chan struct{} // closed once the program has ended
}

// Start starts cmd with its output captured. It takes cmd as [exec.Command]
// returns it, with or without Dir, Env and Stdin set.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, name: filepath.Base(cmd.Path), cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	cmd.SysProcAttr = dieWithTest()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		defer close(p.done)
		cmd.Wait() //nolint:errcheck // Status tells how it ended
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s wrote last:\n%s%s", p.name, p.stdout.tail(), p.stderr.tail())
		}
	})
	return p
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stdout returns what the program has written to its standard output so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr returns what the program has written to its standard error so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Done returns a channel that is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the program as a power cut does, with SIGKILL, and waits until it is gone.
func (p *Process) Kill() {
	p.t.Helper()
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the program to end, with SIGTERM, and returns its exit status. One
// that does not end within a minute fails the test.
func (p *Process) Stop() int {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait()
}

// Wait waits until the program has ended by itself and returns its exit
// status, or -1 if a signal ended it. One that does not end within a minute
// fails the test.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("%s (process %d) still runs after %v", p.name, p.PID(), patience)
		return -1
	}
}

// Signal sends sig to the program. For one that has ended it does nothing.
func (p *Process) Signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("send %v to %s (process %d): %v", sig, p.name, p.PID(), err)
	}
}

// State returns what the system says of the program after it ended, such as
// the CPU time it took; before, nil.
func (p *Process) State() *os.ProcessState {
	select {
	case <-p.done:
		return p.cmd.ProcessState
	default:
		return nil
	}
}

// ended returns an error that tells how the program ended, or nil while it runs.
func (p *Process) ended() error {
	state := p.State()
	if state == nil {
		return nil
	}
	return fmt.Errorf("%s ended (%v):\n%s", p.name, state, p.stderr.tail())
}

// output keeps what a program writes. Its zero value is ready for use.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// tail returns the last lines, enough to see why a program gave up.
func (o *output) tail() string {
	const lines = 40
	s := strings.SplitAfter(o.String(), "\n")
	return strings.Join(s[max(0, len(s)-lines-1):], "")
}
