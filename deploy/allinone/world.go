package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"tofuwatch/internal/simulate"
	"tofuwatch/internal/site"
)

// How the demo's stations live.
const (
	sampleEvery   = 2 * time.Second    // on the wall, as long as the past is played
	incidentAfter = 20 * time.Second   // likewise
	longestPast   = 7 * 24 * time.Hour // in the world
)

// A world is the demo's district, and the clock that it lives by.
type world struct {
	*simulate.World
	clock
}

// newWorld returns the world of a demo that began at a time. One that is faster
// than the clock begins in the past, and once it has come to the present goes on
// with the clock: a reading from the future would be refused.
func newWorld(o demoOptions, began time.Time) (*world, error) {
	w := &world{clock: clock{began: began, start: began.Add(-sampleEvery), speed: o.speed}}
	if o.speed > 1 {
		past := longestPast
		if o.lasts > 0 {
			past = min(past, time.Duration(float64(o.lasts)*(o.speed-1)))
		}
		w.start = began.Add(-past)
	}
	lived := func(wall time.Duration) time.Duration {
		return time.Duration(float64(wall) * o.speed).Truncate(time.Millisecond)
	}
	var err error
	w.World, err = simulate.New(simulate.Options{
		Scenario: simulate.Scenario(o.scenario),
		Seed:     1,
		Start:    w.start,
		Incident: w.start.Add(lived(incidentAfter)),
		Interval: lived(sampleEvery),
	})
	return w, err
}

// incident returns, in words, where something is wrong in the world at a time.
func (w *world) incident(at time.Time) string {
	all := w.Incidents(at, at.Add(time.Second))
	switch len(all) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf(": %s at %s", all[0].Cause, all[0].Station)
	}
	return fmt.Sprintf(": %s at %s, and %d more", all[0].Cause, all[0].Station, len(all)-1)
}

// writeSite writes the site file of w into folder, with the addresses at which
// its engines listen, and returns its name.
func (w *world) writeSite(folder string, on sockets) (file string, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	at := func(ln net.Listener) string { return ln.Addr().String() }
	file = filepath.Join(folder, "site.yaml")
	text := simulate.SiteFile(w.World, simulate.SiteOptions{
		Listen:   at(on.http),
		Broker:   "tcp://" + at(on.mqtt),
		InfluxDB: "http://" + at(on.influxDB),
	})
	return file, renameio.WriteFile(file, append(text, w.recipients()...), 0o600)
}

// recipients returns, for the site file, those who are told: somebody at each
// river, in Indonesian, and somebody of the whole district, in English.
func (w *world) recipients() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, "\n# Nobody real: without smtp, mail is kept as files.\nrecipients:")
	known := make(map[string]bool)
	for _, s := range w.Stations() {
		if !known[s.River] {
			known[s.River] = true
			fmt.Fprintf(&b, "  - {name: Forum %s, email: %[1]s@example.org, language: id, rivers: [%[1]s], severity: warning}\n", s.River)
		}
	}
	fmt.Fprintln(&b, "  - {name: Environment Agency, email: agency@example.org, language: en, severity: warning}")
	return b.Bytes()
}

// run publishes what happens in w to the broker of s until ctx is done.
func (w *world) run(ctx context.Context, s *site.Site, log *slog.Logger) error {
	_, err := simulate.Publish(ctx, w.World, simulate.PublishOptions{
		Broker: s.MQTT.Broker.String(),
		Speed:  w.speed,
		Began:  w.began,
	}, log.With("component", "simulator"))
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}
