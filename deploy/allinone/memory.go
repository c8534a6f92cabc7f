package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/google/renameio/v2"
)

// forgetEvery is how often what is too old is let go of.
const forgetEvery = 15 * time.Minute

// A state is a part of Alertmanager that has to outlive it: what was told, or
// what is silenced.
type state interface {
	MarshalBinary() ([]byte, error)
	GC() (int, error)
	SetBroadcast(func([]byte)) // of every change
}

// A memory keeps a state in a file. Alertmanager itself writes its files every 15
// minutes; here every change is on disk at once, so that nobody is told again
// after a power cut.
type memory struct {
	of      state
	file    string
	changed chan struct{}
	log     *slog.Logger
}

func newMemory(of state, file string, log *slog.Logger) *memory {
	m := &memory{of: of, file: file, changed: make(chan struct{}, 1), log: log}
	of.SetBroadcast(func([]byte) {
		select {
		case m.changed <- struct{}{}:
		default: // the save that is due will see this change too
		}
	})
	return m
}

// run saves every change until stop is closed, and once more then.
func (m *memory) run(stop <-chan struct{}) {
	forget := time.NewTicker(forgetEvery)
	defer forget.Stop()
	for {
		stopped := false
		select {
		case <-m.changed:
		case <-forget.C:
			if _, err := m.of.GC(); err != nil {
				m.log.Error("old state not let go of", "file", m.file, "err", err)
			}
		case <-stop:
			stopped = true
		}
		if err := m.save(); err != nil {
			m.log.Error("state not saved; after a restart people may be told again", "err", err)
		}
		if stopped {
			return
		}
	}
}

func (m *memory) save() error {
	data, err := m.of.MarshalBinary()
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.file, err)
	}
	return renameio.WriteFile(m.file, data, 0o600)
}
