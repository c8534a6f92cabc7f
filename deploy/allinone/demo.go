package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tofuwatch/internal/simulate"
	"tofuwatch/internal/site"
)

// demoOptions are the flags of the demo.
type demoOptions struct {
	scenario string
	speed    float64
	data     string
	ports    string
	lasts    time.Duration // 0: until stopped
}

func demoCommand() *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a synthetic Semarang through the whole of it, and show the readings as they come",
		Long: `Run a synthetic Semarang through the whole of it: simulated stations publish to
a real MQTT broker, the ingester takes their readings, a real InfluxDB keeps them,
and Prometheus and Alertmanager turn them into mail, which is kept as files. Needs
no file, no network and no root; keeps everything in one folder, from which "up"
can go on.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.scenario, "scenario", string(simulate.Normal), "what happens: "+scenarioNames())
	f.Float64Var(&o.speed, "speed", 1, "how many times faster than the clock the stations live; above 1 they begin in the past")
	f.StringVar(&o.data, "data", "tofuwatch-demo", "folder for everything that is kept")
	f.StringVar(&o.ports, "ports", "default", "default: MQTT 1883, InfluxDB 8086, metrics 9464, Prometheus 9090, Alertmanager 9093; auto: any that are free")
	f.DurationVar(&o.lasts, "for", 0, "stop after this time, for example 30s (default: run until Ctrl-C)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return demo(cmd.Context(), o, cmd.OutOrStdout())
	}
	return cmd
}

func scenarioNames() string {
	var names []string
	for _, s := range simulate.Scenarios() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// check reports what is wrong with the flags.
func (o demoOptions) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !(o.speed >= 1 && o.speed <= 10_000) {
		fault("--speed %v: from 1 to 10000", o.speed)
	}
	if _, err := os.Stat(filepath.Join(o.data, "data")); o.speed > 1 && err == nil {
		fault("--speed %v begins in the past, and %s has later readings already; take another folder: --data FOLDER", o.speed, o.data)
	}
	if o.ports != "default" && o.ports != "auto" {
		fault("--ports %s: default or auto", o.ports)
	}
	if o.lasts < 0 {
		fault("--for %v: not less than 0", o.lasts)
	}
	return errors.Join(faults...)
}

// demo runs a simulated site in this process.
func demo(ctx context.Context, o demoOptions, out io.Writer) error {
	began := time.Now()
	if err := o.check(); err != nil {
		return usageError{err}
	}
	world, err := newWorld(o, began)
	if err != nil {
		return usageError{err}
	}

	at := defaultAddresses
	if o.ports == "auto" {
		at = anyAddresses
	}
	sockets, err := listen(at)
	if err != nil {
		return fmt.Errorf("%w\nStop what listens there, or take free ports: tofuwatch-allinone demo --ports auto", err)
	}
	file, err := world.writeSite(o.data, sockets)
	if err != nil {
		sockets.close()
		return err
	}
	s, err := site.Load(file, func(string) string { return "" }) // nobody's secrets
	if err != nil {
		sockets.close()
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(o.data, "tofuwatch.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		sockets.close()
		return err
	}
	defer logFile.Close()
	trouble := newTrouble(slog.NewTextHandler(logFile, nil))
	log := slog.New(trouble)

	registry := prometheus.NewRegistry()
	all, err := assemble(s, sockets, assemblyOptions{MailDir: filepath.Join(o.data, "mail"), Registry: registry, Clock: world.clock}, log)
	if err != nil {
		return err
	}
	view := &screen{
		out:      out,
		site:     s,
		registry: registry,
		scenario: o.scenario,
		folder:   o.data,
		clock:    world.there,
		incident: world.incident,
		began:    began,
		trouble:  trouble,
		alerts:   sockets.alertmanager.Addr().String(),
		queries:  sockets.prometheus.Addr().String(),
		firing:   all.firing,
	}
	all.mailbox.came = view.post.add
	if o.speed > 1 {
		view.haste = fmt.Sprintf(", %v times as fast", o.speed)
	}
	if terminal, ok := out.(*os.File); ok && term.IsTerminal(int(terminal.Fd())) {
		view.terminal = terminal
		view.colour = os.Getenv("NO_COLOR") == ""
	}
	if o.lasts > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.lasts)
		defer cancel()
	}
	err = runEngines(ctx, append(all.engines,
		engine{name: "last readings", run: view.settle},
		engine{name: "simulator", run: func(ctx context.Context) error { return world.run(ctx, s, log) }},
		engine{name: "screen", run: view.show},
	))
	if lookErr := view.look(time.Now()); lookErr != nil {
		err = errors.Join(err, lookErr)
	}
	view.farewell()
	fmt.Fprintf(out, "\nEverything is in %s. Go on from there:\n  tofuwatch-allinone up --config %s\n", o.data, file)
	return err
}
