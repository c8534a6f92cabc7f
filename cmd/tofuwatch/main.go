// Command tofuwatch watches what workshops let into rivers: it takes readings
// from an MQTT broker, keeps every one of them in InfluxDB, and shows them to
// Prometheus.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"tofuwatch/internal/site"
)

func main() { os.Exit(mainStatus()) }

// mainStatus is main with deferred calls that run.
func mainStatus() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// Exit statuses.
const (
	done   = 0
	failed = 1
	usage  = 2 // wrong usage or bad configuration
)

// errTold ends a command that has said on standard error why it failed.
var errTold = errors.New("told")

// usageError is an error that the caller of the program can mend.
type usageError struct{ error }

// run is the program without the process: 0 done, 1 failed, 2 wrong usage or
// bad configuration.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	started := false // a command runs, so that its usage was right
	root := &cobra.Command{
		Use:           "tofuwatch",
		Short:         "Watches what workshops let into rivers: MQTT to InfluxDB without losing a reading",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errors.New("which command?")}
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(ingestCommand(), checkCommand(), renderCommand(), mailCommand(), deadLetterCommand(), importCommand(), decodeCommand(), calibrateCommand(), fitCommand(), qualityReportCommand(), simulateCommand(), stationCommand(), certificatesCommand(), webCommand(), provisionCommand(), readyCommand(), backupCommand(), restoreCommand())

	whenRun(root, func() { started = true })
	err := root.ExecuteContext(ctx)
	var wrong usageError
	var faults site.Faults
	switch {
	case err == nil:
		return done
	case errors.Is(err, errTold):
		return failed
	case errors.As(err, &faults):
		fmt.Fprintln(stderr, faults)
		return usage
	case errors.As(err, &wrong), !started:
		fmt.Fprintf(stderr, "tofuwatch: %v\nSee: tofuwatch --help\n", err)
		return usage
	}
	fmt.Fprintf(stderr, "tofuwatch: %v\n", err)
	return failed
}

// whenRun has f called as soon as cmd or a command below it runs: cobra is
// through with flags and arguments by then, and no earlier hook of it says so.
func whenRun(cmd *cobra.Command, f func()) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			f()
			return run(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		whenRun(c, f)
	}
}

// version is what the Go tools know of the build.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// siteFlag adds --config to cmd and returns a function that loads the file.
func siteFlag(cmd *cobra.Command) func() (*site.Site, error) {
	file := cmd.Flags().String("config", "", "site file, for example site.yaml (required)")
	_ = cmd.MarkFlagRequired("config")
	return func() (*site.Site, error) { return site.Load(*file, os.Getenv) }
}

// logger returns a logger to w, in a form for people or for programs.
func logger(w io.Writer, asJSON, verbose bool) *slog.Logger {
	options := &slog.HandlerOptions{}
	if verbose {
		options.Level = slog.LevelDebug
	}
	if asJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
