package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// These environment variables make the test binary a child that uses a spool
// until it is killed: its data folder, and the first number that it appends.
const (
	childFolder = "SPOOL_TEST_CHILD_FOLDER"
	childFirst  = "SPOOL_TEST_CHILD_FIRST"
)

// Of the numbers that a child appends, some are no use, and InfluxDB refuses
// some others.
func isUseless(n int) bool { return n%10 == 9 }
func isRefused(n int) bool { return n%7 == 3 && !isUseless(n) }

// A child appends from several goroutines and drains at the same time. It
// prints "acknowledged 17" once 17 may be, and "stored 17" when the InfluxDB of
// this test has it.
func TestKillChild(t *testing.T) {
	if os.Getenv(childFolder) == "" {
		return // it is a part of the next test
	}
	first, err := strconv.Atoi(os.Getenv(childFirst))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(options(os.Getenv(childFolder)), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s.records.rollAt = 4000
	fmt.Println("opened")
	for w := range 4 {
		go func() {
			for n := first + w; ; n += 4 {
				o := outcome(n)
				if isUseless(n) {
					o = useless(strconv.Itoa(n))
				}
				if err := appendOne(s, o); err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Printf("acknowledged %d\n", n)
			}
		}()
	}
	for {
		b, err := s.Next(t.Context(), 50, 5*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		var bad []int
		var told strings.Builder
		for _, n := range numbers(t, b.Lines) {
			if isRefused(n) {
				bad = append(bad, n)
			} else {
				fmt.Fprintf(&told, "stored %d\n", n)
			}
		}
		fmt.Print(told.String())
		if err := s.Done(b, refusals(t, b, bad...)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKilled(t *testing.T) {
	const rounds = 20
	dir := t.TempDir()
	acknowledged, stored := make(map[int]bool), make(map[int]bool)
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		cmd.Env = append(os.Environ(), childFolder+"="+dir, childFirst+"="+strconv.Itoa(1_000_000*(round+1)))
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var killing sync.Once
		kill := func() { killing.Do(func() { cmd.Process.Kill() }) } //nolint:errcheck // Wait tells how it ended
		t.Cleanup(kill)
		out := bufio.NewReader(stdout)
		for {
			line, err := out.ReadString('\n')
			if errors.Is(err, io.EOF) {
				break // a line that was cut off says nothing
			}
			if err != nil {
				t.Fatal(err)
			}
			what, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			n, _ := strconv.Atoi(number)
			switch what {
			case "opened":
				if round == 0 {
					if _, err := Open(options(dir), slog.New(slog.DiscardHandler)); !errors.Is(err, ErrInUse) {
						t.Errorf("open beside another process: %v, want %v", err, ErrInUse)
					}
				}
				time.AfterFunc(rand.N(60*time.Millisecond), kill)
			case "acknowledged":
				acknowledged[n] = true
			case "stored":
				stored[n] = true
			default:
				t.Fatalf("child of round %d says %q", round, line)
			}
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("child of round %d ended by itself (%v):\n%s", round, err, &stderr)
		}
	}

	log := new(spoolLog)
	s := opened(t, options(dir), log)
	waiting := numbers(t, pending(t, s).Lines)
	dead := make(map[int]water.Reason)
	for _, l := range letters(t, dir) {
		n, err := strconv.Atoi(strings.TrimSuffix(string(l.Payload), "_qc=\n"))
		if err != nil {
			t.Fatalf("dead letter of %q", l.Payload)
		}
		if dead[n] != "" {
			t.Errorf("%d is a dead letter twice", n)
		}
		dead[n] = l.Reason
	}
	for n := range acknowledged {
		switch {
		case isUseless(n):
			if dead[n] != water.Malformed {
				t.Errorf("%d is no use and was acknowledged, and is a dead letter of the reason %q", n, dead[n])
			}
		case isRefused(n):
			if dead[n] != water.Refused && !slices.Contains(waiting, n) {
				t.Errorf("%d was acknowledged and refused, and is no dead letter", n)
			}
		case !stored[n] && !slices.Contains(waiting, n):
			t.Errorf("%d was acknowledged and is lost", n)
		}
	}
	ledger := s.Health().Ledger
	checkBalance(t, ledger)
	// Killed between a dead letter and the move of the cursor: such a reading is
	// given out again, and counts as a dead letter until InfluxDB takes it after all.
	var early uint64
	for _, n := range waiting {
		if dead[n] == water.Refused {
			early++
		}
	}
	if got, want := ledger.Pending, uint64(len(waiting))-early; got != want {
		t.Errorf("%d readings pending in the ledger, want %d", got, want)
	}
	if ledger.Received < uint64(len(acknowledged)) {
		t.Errorf("%d readings received in the ledger, and %d were acknowledged", ledger.Received, len(acknowledged))
	}
	// What was stored and not yet done when it was killed is stored again.
	if got := uint64(len(stored)); ledger.Stored > got {
		t.Errorf("%d readings stored in the ledger, and InfluxDB has %d", ledger.Stored, got)
	}
	if len(acknowledged) < 10*rounds || len(stored) == 0 || len(dead) == 0 {
		t.Errorf("%d acknowledged, %d stored, %d dead letters: too few to tell anything", len(acknowledged), len(stored), len(dead))
	}
	done(t, s, pending(t, s))
	wantLedger(t, s, ingest.Ledger{Received: ledger.Received + early, Stored: ledger.Stored + uint64(len(waiting)), DeadLettered: ledger.DeadLettered})
	if strings.Contains(log.String(), "damaged") {
		t.Errorf("logged: %s", log)
	}
	t.Logf("%d acknowledged, %d stored, %d dead letters, %d pending", len(acknowledged), len(stored), len(dead), len(waiting))
}
