// Command tofuwatch-allinone is a whole station network in one process: an MQTT
// broker, the ingester, InfluxDB, Prometheus and Alertmanager, which do what they
// would do as programs of their own, and keep everything in one folder.
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

// usageError is an error that the caller of the program can mend.
type usageError struct{ error }

// run is the program without the process: 0 done, 1 failed, 2 wrong usage or
// bad configuration.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	started := false // else it was the usage that was wrong
	root := &cobra.Command{
		Use:              "tofuwatch-allinone",
		Short:            "Watches what workshops let into rivers: from the broker to the mail, in one process",
		Version:          version(),
		SilenceUsage:     true,
		SilenceErrors:    true,
		Args:             cobra.NoArgs,
		PersistentPreRun: func(*cobra.Command, []string) { started = true },
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errors.New("which command?")}
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(upCommand(), demoCommand(), backupCommand())

	err := root.ExecuteContext(ctx)
	var wrong usageError
	var faults site.Faults
	switch {
	case err == nil:
		return done
	case errors.As(err, &faults):
		fmt.Fprintln(stderr, faults)
		return usage
	case errors.As(err, &wrong), !started:
		fmt.Fprintf(stderr, "tofuwatch-allinone: %v\nSee: tofuwatch-allinone --help\n", err)
		return usage
	}
	fmt.Fprintf(stderr, "tofuwatch-allinone: %v\n", err)
	return failed
}

// version is what the Go tools know of the build.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
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
