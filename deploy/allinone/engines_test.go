package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRunEngines(t *testing.T) {
	broken := errors.New("broken")
	untilDone := func(ctx context.Context) error { <-ctx.Done(); return nil }
	fails := func(context.Context) error { return broken }
	ends := func(context.Context) error { return nil }
	isReady := make(chan struct{})
	close(isReady)
	neverReady := make(chan struct{})
	tests := []struct {
		name      string
		engines   []engine // named by their order
		stoppedBy string   // the engine that is running when all are told to stop; empty: none
		want      []string // in the order in which they end
		wantFail  string
	}{
		{
			name:      "stopped in reverse",
			engines:   []engine{{run: untilDone, ready: isReady}, {run: untilDone}, {run: untilDone}},
			stoppedBy: "c",
			want:      []string{"c", "b", "a"},
		},
		{
			name:     "one fails",
			engines:  []engine{{run: untilDone}, {run: fails}},
			want:     []string{"b", "a"},
			wantFail: "b: broken",
		},
		{
			name:     "one ends by itself",
			engines:  []engine{{run: ends}, {run: untilDone}},
			want:     []string{"a", "b"},
			wantFail: "a ended by itself",
		},
		{
			name:     "one fails before the next may start",
			engines:  []engine{{run: fails, ready: neverReady}, {run: untilDone}},
			want:     []string{"a"},
			wantFail: "a: broken",
		},
		{
			name:      "stopped before the next may start",
			engines:   []engine{{run: untilDone, ready: neverReady}, {run: untilDone}},
			stoppedBy: "a",
			want:      []string{"a"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan string, len(test.engines))
			for i := range test.engines {
				e := &test.engines[i]
				e.name = string(rune('a' + i))
				do := e.run
				e.run = func(ctx context.Context) error {
					defer func() { ended <- e.name }()
					if e.name == test.stoppedBy {
						cancel()
					}
					return do(ctx)
				}
			}
			err := runEngines(ctx, test.engines)
			close(ended)
			var got []string
			for name := range ended {
				got = append(got, name)
			}
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Errorf("ended (-got +want):\n%s", diff)
			}
			switch {
			case test.wantFail == "" && err != nil:
				t.Errorf("got error %v, want none", err)
			case test.wantFail != "" && (err == nil || !strings.Contains(err.Error(), test.wantFail)):
				t.Errorf("got error %v, want %q in it", err, test.wantFail)
			}
		})
	}
}
