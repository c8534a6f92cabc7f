package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tofuwatch/ingest/spool"
	"tofuwatch/internal/ingester"
	"tofuwatch/internal/water"
)

func deadLetterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletter",
		Short: "Look at what could not be used, and send it through again after a fix",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{fmt.Errorf("deadletter list, show or replay?")}
		},
	}
	cmd.AddCommand(deadLetterListCommand(), deadLetterShowCommand(), deadLetterReplayCommand())
	return cmd
}

func deadLetterListCommand() *cobra.Command {
	var (
		all, asJSON bool
		reason      string
	)
	cmd := &cobra.Command{
		Use:   "list --config site.yaml",
		Short: "List what could not be used, oldest first",
		Args:  cobra.NoArgs,
	}
	load := siteFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also what was replayed since")
	cmd.Flags().StringVar(&reason, "reason", "", "only those with this reason")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkReason(reason); err != nil {
			return err
		}
		s, err := load()
		if err != nil {
			return err
		}
		letters, err := spool.ReadDeadLetters(s.DataDir)
		if err != nil {
			return err
		}
		letters = slices.DeleteFunc(letters, func(l spool.StoredLetter) bool {
			return !all && !l.Replayed.IsZero() || reason != "" && l.Reason != water.Reason(reason)
		})
		out := cmd.OutOrStdout()
		if asJSON {
			encoder := json.NewEncoder(out)
			for _, l := range letters {
				if err := encoder.Encode(l); err != nil {
					return err
				}
			}
			return nil
		}
		if len(letters) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "No dead letters.")
			return nil
		}
		return listLetters(out, letters, s.TimeZone)
	}
	return cmd
}

func listLetters(out io.Writer, letters []spool.StoredLetter, zone *time.Location) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tRECEIVED\tTOPIC\tREASON\tREADINGS\tWHAT IS WRONG")
	for _, l := range letters {
		what := l.Detail
		if !l.Replayed.IsZero() {
			what = "replayed " + l.Replayed.In(zone).Format("2006-01-02 15:04 MST") + "; was: " + what
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\n", l.ID, l.Received.In(zone).Format("2006-01-02 15:04:05 MST"),
			printable(l.Topic), l.Reason, l.Readings, what)
	}
	return w.Flush()
}

func deadLetterShowCommand() *cobra.Command {
	var raw, asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID --config site.yaml",
		Short: "Show one dead letter, with the message as it came",
		Args:  cobra.ExactArgs(1),
	}
	load := siteFlag(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "write the message's bytes and nothing else")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write a JSON object")
	cmd.MarkFlagsMutuallyExclusive("raw", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ids, err := letterIDs(args)
		if err != nil {
			return err
		}
		s, err := load()
		if err != nil {
			return err
		}
		letters, err := spool.ReadDeadLetters(s.DataDir)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(letters, func(l spool.StoredLetter) bool { return l.ID == ids[0] })
		if i < 0 {
			return fmt.Errorf("no dead letter %d; see: tofuwatch deadletter list", ids[0])
		}
		l, out := letters[i], cmd.OutOrStdout()
		switch {
		case raw:
			_, err = out.Write(l.Payload)
			return err
		case asJSON:
			return json.NewEncoder(out).Encode(l)
		}
		fmt.Fprintf(out, "dead letter %d\n", l.ID)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "received\t%s\n", l.Received.In(s.TimeZone).Format("2006-01-02 15:04:05 MST"))
		fmt.Fprintf(w, "topic\t%s\n", printable(l.Topic))
		fmt.Fprintf(w, "reason\t%s\n", l.Reason)
		fmt.Fprintf(w, "what is wrong\t%s\n", l.Detail)
		fmt.Fprintf(w, "readings lost\t%d\n", l.Readings)
		if !l.Replayed.IsZero() {
			fmt.Fprintf(w, "replayed\t%s\n", l.Replayed.In(s.TimeZone).Format("2006-01-02 15:04:05 MST"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		what := "message"
		if l.Reason == water.TooLarge {
			what = "beginning of the message"
		}
		fmt.Fprintf(out, "%s, %d bytes:\n%s\n", what, len(l.Payload), printable(string(l.Payload)))
		return nil
	}
	return cmd
}

func deadLetterReplayCommand() *cobra.Command {
	var all, asJSON, verbose bool
	var reason string
	cmd := &cobra.Command{
		Use:   "replay ID... | --all | --reason REASON  --config site.yaml",
		Short: "Send dead letters through again, at their own times",
		Long: `Send dead letters through again, at their own times.

Where an ingester runs on the site's data folder it does the work, by the site
file that it was started with: after a change to the file, restart it first.
Otherwise the readings go into the spool and reach InfluxDB when the ingester
runs. A letter that still cannot be used stays where it is.`,
	}
	load := siteFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every letter that was not replayed yet")
	cmd.Flags().StringVar(&reason, "reason", "", "every one with this reason that was not replayed yet")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "log more")
	cmd.MarkFlagsMutuallyExclusive("all", "reason")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (len(args) > 0) == (all || reason != "") {
			return usageError{fmt.Errorf("name the dead letters by their IDs, or give --all or --reason")}
		}
		if err := checkReason(reason); err != nil {
			return err
		}
		ids, err := letterIDs(args)
		if err != nil {
			return err
		}
		s, err := load()
		if err != nil {
			return err
		}
		if len(args) == 0 {
			letters, err := spool.ReadDeadLetters(s.DataDir)
			if err != nil {
				return err
			}
			for _, l := range letters {
				if l.Replayed.IsZero() && (all || l.Reason == water.Reason(reason)) {
					ids = append(ids, l.ID)
				}
			}
		}
		if len(ids) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "No dead letters.")
			return nil
		}
		results, err := ingester.Replay(cmd.Context(), s, ids, logger(cmd.ErrOrStderr(), asJSON, verbose))
		out, left := cmd.OutOrStdout(), 0
		encoder := json.NewEncoder(out)
		for _, r := range results {
			if r.Problem != "" {
				left++
			}
			switch {
			case asJSON:
				_ = encoder.Encode(r)
			case r.Problem != "":
				fmt.Fprintf(out, "%d: not replayed: %s\n", r.ID, r.Problem)
			default:
				fmt.Fprintf(out, "%d: %s on the way to InfluxDB\n", r.ID, count(r.Readings, "reading"))
			}
		}
		switch {
		case err != nil:
			return err
		case left > 0:
			fmt.Fprintf(cmd.ErrOrStderr(), "tofuwatch: %d of %s not replayed\n", left, count(len(results), "dead letter"))
			return errTold
		}
		return nil
	}
	return cmd
}

// checkReason refuses the value of --reason unless it is empty or a reason.
func checkReason(reason string) error {
	if reason != "" && !slices.Contains(water.Reasons(), water.Reason(reason)) {
		return usageError{fmt.Errorf("--reason %q: have %v", reason, water.Reasons())}
	}
	return nil
}

func letterIDs(args []string) ([]uint64, error) {
	var ids []uint64
	for _, a := range args {
		id, err := strconv.ParseUint(a, 10, 64)
		if err != nil || id == 0 {
			return nil, usageError{fmt.Errorf("%q is no ID of a dead letter; see the first column of: tofuwatch deadletter list", a)}
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// printable escapes what a terminal would obey or could not show. Line ends
// stay.
func printable(s string) string {
	var b []byte
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n <= 1:
			b = fmt.Appendf(b, `\x%02x`, s[0])
		case r == '\n' || unicode.IsPrint(r):
			b = append(b, s[:n]...)
		default:
			q := strconv.QuoteRune(r)
			b = append(b, q[1:len(q)-1]...)
		}
		s = s[n:]
	}
	return string(b)
}
