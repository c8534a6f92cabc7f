package spool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		format string
		want   string // in the error; empty: none
	}{
		{"", ""},
		{"1\n", ""},
		{"2\n", "its format is 2, and this release knows those up to 1"},
		{"x", "want the number"},
		{"0", "want the number"},
	} {
		file := filepath.Join(dir, formatFile)
		if err := os.WriteFile(file, []byte(tt.format), 0o600); err != nil {
			t.Fatal(err)
		}
		if tt.format == "" {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
		err := CheckFormat(dir)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("format %q: got error %v, want %q", tt.format, err, tt.want)
		}
		if got, want := errors.Is(err, ErrNewer), tt.format == "2\n"; got != want {
			t.Errorf("format %q: got ErrNewer %t, want %t", tt.format, got, want)
		}
	}
}
