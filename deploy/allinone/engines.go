package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// An engine is one of the programs that this process is made of.
type engine struct {
	name  string
	run   func(context.Context) error // until the context is done
	ready <-chan struct{}             // closed when the next engine may start; nil: at once
}

// runEngines starts engines one after the other and runs them until ctx is done
// or one of them ends by itself, which is an error. It stops them in reverse, so
// that each still has those it was started after.
func runEngines(ctx context.Context, engines []engine) error {
	type running struct {
		engine
		stop   context.CancelFunc
		ended  chan struct{}
		err    error
		wanted bool // it was told to stop
	}
	var all []*running
	someEnded := make(chan struct{}, len(engines))

start:
	for _, e := range engines {
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := &running{engine: e, stop: stop, ended: make(chan struct{})}
		all = append(all, r)
		go func() {
			r.err = e.run(own)
			close(r.ended)
			someEnded <- struct{}{}
		}()
		if e.ready == nil {
			continue
		}
		select {
		case <-e.ready:
		case <-r.ended:
			break start
		case <-ctx.Done():
			break start
		}
	}
	select {
	case <-ctx.Done():
	case <-someEnded:
	}

	var failures []error
	for _, r := range slices.Backward(all) {
		select {
		case <-r.ended:
		default:
			r.wanted = true
		}
		r.stop()
		<-r.ended
		switch {
		case r.err != nil:
			failures = append(failures, fmt.Errorf("%s: %w", r.name, r.err))
		case !r.wanted:
			failures = append(failures, fmt.Errorf("%s ended by itself", r.name))
		}
	}
	return errors.Join(failures...)
}
