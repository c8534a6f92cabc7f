package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestPeriod(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 7 * 24 * time.Hour, "1d12h": 36 * time.Hour, "90s": 90 * time.Second, "-36h": -36 * time.Hour, "-1d": -24 * time.Hour, "0s": 0,
	} {
		var got period
		if err := got.Set(text); err != nil || time.Duration(got) != want {
			t.Errorf("%s: got %s, %v; want %s", text, time.Duration(got), err, want)
		}
	}
	for _, text := range []string{"", "-", "7", "d", "7d8", "1h-5m", "--5s", "7dd", "1.5d"} {
		var got period
		if err := got.Set(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, time.Duration(got))
		}
	}
}

func TestSimulatedSiteIsValid(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if got := run(t.Context(), []string{"simulate", "--print-site", "--stations", "20"}, &stdout, &stderr); got != done {
		t.Fatalf("simulate --print-site: status %d, %s", got, stderr.String())
	}
	file := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(file, stdout.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout.Reset()
	if got := run(t.Context(), []string{"check", "--config", file}, &stdout, &stderr); got != done {
		t.Errorf("check: status %d, %s%s", got, stdout.String(), stderr.String())
	}
}

func TestSimulateUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--speed=0.5":                "--speed 0.5: from 1 to 1000000",
		"--speed=NaN":                "--speed NaN: from 1 to 1000000",
		"--backfill=-1d":             "--backfill -1d: up to 366d",
		"--for=-1s":                  "--for -1s: more than 0",
		"--scenario=flood":           `no scenario "flood"; have normal, spill, plant-upset, sensor-faults`,
		"--stations=1000":            "1000 stations: from 1 to 308",
		"--password-file=/nowhere/p": "read the password: open /nowhere/p: no such file or directory",
	} {
		t.Setenv(passwordName, "")
		var stdout, stderr bytes.Buffer
		got := run(t.Context(), []string{"simulate", args}, &stdout, &stderr)
		if got != usage || stderr.String() != "tofuwatch: "+want+"\nSee: tofuwatch --help\n" || stdout.Len() > 0 {
			t.Errorf("simulate %s: status %d, standard error %q, standard output %q; want 2 and %s",
				args, got, stderr.String(), stdout.String(), want)
		}
	}
}
