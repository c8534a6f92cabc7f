package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A Server is a program that listens, and that a test stops and starts again
// with the same address and data.
type Server struct {
	t       testing.TB
	name    string
	command func() *exec.Cmd
	answers func() error // nil once the server serves
	process *Process
}

// PID returns the process ID. It changes with every Start.
func (s *Server) PID() int { return s.process.PID() }

// Signal sends sig to the process, to stop it for a while with SIGSTOP and SIGCONT.
func (s *Server) Signal(sig os.Signal) {
	s.t.Helper()
	s.process.Signal(sig)
}

// Log returns what the server has logged since its last Start.
func (s *Server) Log() string { return s.process.Stdout() + s.process.Stderr() }

// Kill ends the server as a power cut does, with SIGKILL.
func (s *Server) Kill() {
	s.t.Helper()
	s.process.Kill()
}

// Stop ends the server in good order, with SIGTERM.
func (s *Server) Stop() {
	s.t.Helper()
	s.process.Stop()
}

// Start starts the server again, after Kill or Stop, and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	if s.process.State() == nil {
		s.t.Fatalf("start %s: it runs; Kill or Stop it first", s.name)
	}
	if err := s.launch(); err != nil {
		s.t.Fatalf("start %s: %v", s.name, err)
	}
}

// errPortTaken says that somebody else listens on the port that was free a
// moment ago.
var errPortTaken = errors.New("port was taken")

// launch starts the program and waits until it answers or ends.
func (s *Server) launch() error {
	s.t.Helper()
	s.process = Start(s.t, s.command())
	var ended error
	err := poll(s.t, patience, func() error {
		if ended = s.process.ended(); ended != nil {
			return nil // it will not answer any more
		}
		return s.answers()
	})
	switch {
	case ended == nil:
		return err
	case strings.Contains(strings.ToLower(s.Log()), "address already in use"):
		return fmt.Errorf("%w: %w", errPortTaken, ended)
	}
	return ended
}

// listen calls start with a free port, and with another one while somebody
// takes it before the server could.
func listen(t testing.TB, start func(port int) (*Server, error)) {
	t.Helper()
	for {
		s, err := start(FreePort(t))
		if err == nil {
			return
		}
		if !errors.Is(err, errPortTaken) {
			t.Fatalf("start %s: %v", s.name, err)
		}
		t.Logf("start %s: %v; trying another", s.name, err)
	}
}
