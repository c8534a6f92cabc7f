package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/renameio/v2"
)

// Format numbers how a data folder is written: the spool, the dead letters and
// every file of what was saved beside them. A release that writes any of it so
// that earlier ones would misread it has the next number, and reads all the
// numbers before. Folders of releases that wrote no number are of format 1.
const Format = 1

// ErrNewer is the error for a data folder that a newer release has written.
var ErrNewer = errors.New("written by a newer release")

// formatFile is where a data folder says its format.
const formatFile = "format"

// CheckFormat returns an error that is [ErrNewer] if the data folder is of a later
// format than this release knows. A folder that says nothing is fine.
func CheckFormat(dataDir string) error {
	file := filepath.Join(dataDir, formatFile)
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the format of the data folder: %w", err)
	}
	format, err := strconv.ParseUint(string(bytes.TrimSpace(data)), 10, 31)
	if err != nil || format == 0 {
		return fmt.Errorf("%s holds %.20q; want the number of the data folder's format, which is %d for this release", file, data, Format)
	}
	if format > Format {
		return fmt.Errorf("%s is %w: its format is %d, and this release knows those up to %d; run the release that wrote it or a later one, or restore a backup from before", dataDir, ErrNewer, format, Format)
	}
	return nil
}

// noteFormat writes the format that the folder has from now on. A full disk does
// not keep the spool from being opened: a folder that says nothing is of format 1.
func (s *Spool) noteFormat() {
	file, text := filepath.Join(s.o.DataDir, formatFile), strconv.Itoa(Format)+"\n"
	if data, err := os.ReadFile(file); err == nil && string(data) == text {
		return
	}
	if err := renameio.WriteFile(file, []byte(text), 0o640); err != nil {
		s.log.Warn("format of the data folder not noted; the next start tries again", "err", err)
	}
}
