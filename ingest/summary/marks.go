package summary

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"tofuwatch/internal/water"
)

// A mark says that a span of a station has to be made anew.
type mark struct {
	span    water.Span
	station string
	start   int64 // Unix seconds
}

// marks are those that there are, also on disk: a file to which lines are
// appended, and which is written anew when most of it is done.
//
//	hour ipal-01 2026-11-23T07:00:00Z
//	through 2026-11-23T08:00:00Z
//
// "through" says until when all hours of all stations were marked because time
// went by. A last line that a crash cut off is left out: it was never reported
// as saved.
type marks struct {
	path string

	mu      sync.Mutex
	file    *os.File
	lines   int // in file
	live    map[mark]uint64
	version uint64    // of the latest mark; those of an older one were there before
	through time.Time // zero if nothing was ever marked
}

// openMarks reads the marks in a file; one that is not there is empty.
func openMarks(path string) (*marks, error) {
	m := &marks{path: path, live: make(map[mark]uint64)}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read marks: %w", err)
	}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		m.read(s.Text())
	}
	if err := m.compact(); err != nil {
		return nil, err
	}
	return m, nil
}

// read takes in a line. One that is none of ours marks nothing.
func (m *marks) read(line string) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return
	}
	at, err := time.Parse(time.RFC3339, words[len(words)-1])
	switch {
	case err != nil:
	case words[0] == "through":
		m.through = at
	case len(words) == 3:
		m.live[mark{water.Span(words[0]), words[1], at.Unix()}] = 0
	}
}

func (k mark) line() string {
	return fmt.Sprintf("%s %s %s\n", k.span, k.station, time.Unix(k.start, 0).UTC().Format(time.RFC3339))
}

func throughLine(t time.Time) string { return "through " + t.UTC().Format(time.RFC3339) + "\n" }

// add makes marks durable. One that exists becomes younger than what is being
// made now.
func (m *marks) add(all []mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.append(all, "")
}

// goOn marks all, and says that all hours before a time are.
func (m *marks) goOn(through time.Time, all []mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.append(all, throughLine(through))
	if err == nil {
		m.through = through
	}
	return err
}

// append writes the marks that are new, and a line behind them.
func (m *marks) append(all []mark, last string) error {
	m.version++
	var text strings.Builder
	for _, k := range all {
		if _, ok := m.live[k]; !ok {
			text.WriteString(k.line())
			m.lines++
		}
	}
	text.WriteString(last)
	if text.Len() > 0 {
		if _, err := m.file.WriteString(text.String()); err != nil {
			return fmt.Errorf("append to marks: %w", err)
		}
		if err := m.file.Sync(); err != nil {
			return fmt.Errorf("append to marks: %w", err)
		}
	}
	for _, k := range all {
		m.live[k] = m.version
	}
	return nil
}

// take returns the marks of a span, and the version that done wants.
func (m *marks) take(span water.Span) (all []mark, version uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.live {
		if k.span == span {
			all = append(all, k)
		}
	}
	return all, m.version
}

// done forgets marks that are no younger than a version. A crash may bring them
// back, which costs some work and nothing else.
func (m *marks) done(all []mark, version uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range all {
		if v, ok := m.live[k]; ok && v <= version {
			delete(m.live, k)
		}
	}
	const few = 1000
	if m.lines > few+2*len(m.live) {
		return m.compact()
	}
	return nil
}

// compact writes the file anew.
func (m *marks) compact() error {
	var text bytes.Buffer
	for k := range m.live {
		text.WriteString(k.line())
	}
	if !m.through.IsZero() {
		text.WriteString(throughLine(m.through))
	}
	if err := renameio.WriteFile(m.path, text.Bytes(), 0o640); err != nil {
		return fmt.Errorf("write marks: %w", err)
	}
	file, err := os.OpenFile(m.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open marks: %w", err)
	}
	if m.file != nil {
		m.file.Close()
	}
	m.file, m.lines = file, len(m.live)
	return nil
}

// count returns how many marks there are.
func (m *marks) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.live)
}

func (m *marks) close() error { return m.file.Close() }
