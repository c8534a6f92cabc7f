//go:build bench

package bench

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tofuwatch/internal/testenv"
)

// A result is what one run came to.
type result struct {
	stored, lost int
	rate         float64       // stored messages a second, from the first publish until a query finds the last one
	cpu          time.Duration // user and system time of the ingester, for each stored message
	memory       int64         // the most that it had at once, in bytes
}

// A scenario is what both ingesters go through, each with a broker and a
// database that are new.
type scenario struct {
	messages  int
	perSecond int // 0: as fast as the broker takes them
	broker    []string
	outage    time.Duration // for how long InfluxDB is away
}

// outageAfter is when InfluxDB goes away.
const outageAfter = 20 * time.Second

// quiet is how long nothing more must be stored before the rest counts as lost.
// It is more than two of Telegraf's default flush intervals.
const quiet = 25 * time.Second

// measure runs one ingester through s.
func (s scenario) measure(t *testing.T, i ingester) (r result) {
	ok := t.Run(i.name, func(t *testing.T) {
		broker := testenv.Mosquitto(t, testenv.WithConfig(s.broker...))
		db := testenv.InfluxDB(t, testenv.WithDatabase(database))
		process := i.start(t, broker, db)
		load, publisher := newLoad(s.messages, s.perSecond), connect(t, broker.Addr)

		before, begin := used(t, process.PID()), time.Now()
		published := make(chan error, 1)
		go func() { published <- load.publish(publisher) }()
		if s.outage > 0 {
			<-time.After(outageAfter)
			db.Kill()
			<-time.After(s.outage)
			db.Start()
		}
		stored, end := i.await(t, process, db, load, published)
		after := used(t, process.PID())
		r = result{
			stored: stored,
			lost:   s.messages - stored,
			rate:   float64(stored) / end.Sub(begin).Seconds(),
			cpu:    (after.cpu - before.cpu) / time.Duration(max(1, stored)),
			memory: after.memory,
		}
		if i.name == tofuwatch.name && r.lost != 0 {
			t.Errorf("%s: got %d of %d messages stored, want all", i.name, r.stored, s.messages)
		}
	})
	if !ok && r == (result{}) {
		t.FailNow() // a program broke
	}
	t.Logf("%s: %d stored, %.0f/s, %v a message, %d MB", i.name, r.stored, r.rate, r.cpu, r.memory/1e6)
	return r
}

// await waits until load is stored, or what is missing of it is lost. It returns
// how many messages a query finds, and when that became so.
func (i ingester) await(t *testing.T, p *testenv.Process, db *testenv.Database, l *load, published <-chan error) (stored int, at time.Time) {
	t.Helper()
	select {
	case err := <-published:
		if err != nil {
			t.Fatal(err)
		}
	case <-p.Done():
		alive(t, p)
	}
	count := func(from time.Time) int {
		n, err := i.stored(db, from)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var counted time.Time
	at = time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for now := range tick.C {
		alive(t, p)
		// Counting all takes the database's time from those who work for it. The
		// last messages tell mostly when it is due.
		if count(l.last()) < stations && now.Sub(counted) < time.Second {
			continue
		}
		counted = now
		if n := count(l.first); n > stored {
			stored, at = n, now
		}
		if stored == l.messages || now.Sub(at) > quiet {
			break
		}
	}
	return stored, at
}

// Configurations that are "tuned": the broker sets no limit that is reached, and
// Telegraf writes at least as often as we do, in batches as large as ours, and
// spares itself the compression, as we do on one machine.
var (
	tunedBroker   = []string{"max_inflight_messages 20000", "max_queued_messages 0"}
	tunedTelegraf = tuning{
		agent:  "flush_interval = \"250ms\"\nmetric_batch_size = 5000\nmetric_buffer_limit = 500000",
		input:  "max_undelivered_messages = 100000",
		output: "content_encoding = \"identity\"",
	}
)

// What is aimed at, as ours over Telegraf's.
const (
	wantRate   = 1.0 // at least
	wantCPU    = 0.5 // at most
	wantMemory = 0.5 // at most
)

// TestBenchStock measures both as they come out of the box, Mosquitto too.
func TestBenchStock(t *testing.T) {
	out := table(t, "Stock against stock: each with its default configuration, Mosquitto with none")
	for _, perSecond := range []int{200, 2000} {
		s := scenario{messages: 10_000, perSecond: perSecond}
		for _, i := range []ingester{tofuwatch, telegraf(tuning{})} {
			row(out, fmt.Sprintf("%s, 10,000 at %d/s", i.name, perSecond), s.measure(t, i))
		}
	}
	fmt.Fprint(os.Stdout, out)
}

// TestBenchTuned measures how fast both are where nothing is in their way.
func TestBenchTuned(t *testing.T) {
	const rounds = 3
	s := scenario{messages: 200_000, broker: tunedBroker}
	out := table(t, fmt.Sprintf("Tuned against tuned: 200,000 messages as fast as the broker takes them; medians of %d rounds in turn", rounds))
	var ours, theirs []result
	for range rounds {
		ours = append(ours, s.measure(t, tofuwatch))
		theirs = append(theirs, s.measure(t, telegraf(tunedTelegraf)))
	}
	our, their := median(ours), median(theirs)
	row(out, tofuwatch.name, our)
	row(out, "Telegraf", their)
	rate, cpu, memory := our.rate/their.rate, float64(our.cpu)/float64(their.cpu), float64(our.memory)/float64(their.memory)
	fmt.Fprintf(out, "| ratio | | | %.2f (want ≥ %.1f: %s) | %.2f (want ≤ %.1f: %s) | %.2f (want ≤ %.1f: %s) |\n",
		rate, wantRate, verdict(rate >= wantRate), cpu, wantCPU, verdict(cpu <= wantCPU), memory, wantMemory, verdict(memory <= wantMemory))
	fmt.Fprint(os.Stdout, out)
}

// TestBenchOutage measures what is left after InfluxDB was away. It takes a
// quarter of an hour, and runs with BENCH_LONG=1 only.
func TestBenchOutage(t *testing.T) {
	if os.Getenv("BENCH_LONG") == "" {
		t.Skip("takes a quarter of an hour; BENCH_LONG=1 runs it")
	}
	s := scenario{messages: 3000, perSecond: 10, outage: 200 * time.Second}
	out := table(t, fmt.Sprintf("Stock against stock with InfluxDB away for %v: 3,000 messages at 10/s", s.outage))
	for _, i := range []ingester{tofuwatch, telegraf(tuning{})} {
		row(out, i.name, s.measure(t, i))
	}
	fmt.Fprint(os.Stdout, out)
}

// table begins a table in Markdown, below what it shows.
func table(t *testing.T, title string) *strings.Builder {
	t.Helper()
	out := new(strings.Builder)
	fmt.Fprintf(out, "\n%s.\nOn %s.\nMessages/s: from the first publish until a query finds the last one in InfluxDB.\n"+
		"CPU: user and system time of the ingester, for each stored message. Memory: VmHWM of the ingester.\n\n", title, machine(t))
	fmt.Fprintln(out, "| | stored | lost | messages/s | CPU a message | peak memory |")
	fmt.Fprintln(out, "|---|--:|--:|--:|--:|--:|")
	return out
}

func row(out *strings.Builder, name string, r result) {
	fmt.Fprintf(out, "| %s | %d | %d | %.0f | %.1f µs | %d MB |\n",
		name, r.stored, r.lost, r.rate, float64(r.cpu)/float64(time.Microsecond), r.memory/1e6)
}

func verdict(met bool) string {
	if met {
		return "MET"
	}
	return "MISSED"
}

// median returns the median of each figure; of the lost, the sum.
func median(rounds []result) result {
	m := result{
		stored: middle(rounds, func(r result) int { return r.stored }),
		rate:   middle(rounds, func(r result) float64 { return r.rate }),
		cpu:    middle(rounds, func(r result) time.Duration { return r.cpu }),
		memory: middle(rounds, func(r result) int64 { return r.memory }),
	}
	for _, r := range rounds {
		m.lost += r.lost
	}
	return m
}

func middle[T cmp.Ordered](rounds []result, figure func(result) T) T {
	var figures []T
	for _, r := range rounds {
		figures = append(figures, figure(r))
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}
