package alternatives

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	recordCount = 5000
	recordSize  = 1000
	kills       = 10
)

// good is the cell of an experiment in which all went as a spool needs it.
const good = "yes"

// The experiments are the README table's columns.
var experiments = []struct {
	name string
	cell func(*testing.T, Candidate) string
}{
	{"kill -9", killed},
	{"torn tail", torn},
	{"damaged middle", damaged},
	{"full disk", full},
}

// TestAlternatives carries out each experiment with each candidate and compares
// the table with the README's; UPDATE=1 writes it there.
func TestAlternatives(t *testing.T) {
	var table strings.Builder
	fmt.Fprint(&table, "| library | version, released |")
	for _, e := range experiments {
		fmt.Fprintf(&table, " %s |", e.name)
	}
	fmt.Fprint(&table, "\n|---|---|", strings.Repeat("---|", len(experiments)), "\n")
	complete := true // unless -run leaves something out
	for _, c := range Candidates {
		cells := make([]string, len(experiments))
		t.Run(c.Name, func(t *testing.T) {
			for i, e := range experiments {
				t.Run(e.name, func(t *testing.T) { cells[i] = e.cell(t, c) })
			}
		})
		// Whether a kill cuts a write short is chance; a store that can't bear
		// that may have had luck.
		if kill, tear := cells[0], cells[1]; tear != good && (kill == good || kill == tear) {
			cells[0] = "unless it cuts a write"
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", c.Name, release(t, c), strings.Join(cells, " | "))
		complete = complete && !slices.Contains(cells, "")
		if !slices.ContainsFunc(cells, func(cell string) bool { return cell != good }) {
			t.Errorf("%s meets everything a spool needs: ingest/spool could rest on it", c.Name)
		}
	}
	t.Logf("\n%s", &table)
	if t.Failed() || !complete {
		return
	}

	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- table -->\n", "<!-- end of table -->"
	head, rest, ok := strings.Cut(string(text), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md has no table between %q and %q", begin, end)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("README.md", []byte(head+begin+table.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(got, table.String()); diff != "" {
		t.Errorf("README.md's table differs from what was measured; UPDATE=1 rewrites it (-README +measured):\n%s", diff)
	}
}

// release returns the version that c is tested in, and its day.
func release(t *testing.T, c Candidate) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}, {{.Time.Format \"2006-01-02\"}}", c.Module).Output()
	if err != nil {
		t.Fatalf("list module %s: %v", c.Module, err)
	}
	return strings.TrimSpace(string(out))
}

// killed kills a process that appends, again and again, and counts what had
// been acknowledged.
func killed(t *testing.T, c Candidate) string {
	dir, acknowledged := t.TempDir(), 0
	for range kills {
		cmd, err := child(t.Context(), order{Do: "flood", Store: c.Name, Dir: dir, First: uint64(acknowledged) + 1})
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		for left := 10 + rand.IntN(50); lines.Scan(); left-- {
			if acknowledged, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
			if left == 0 { // what it prints until it is dead counts too
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		cmd.Wait() // it was killed
	}
	v, err := viewOf(t, c, dir)
	t.Logf("%d acknowledged; %+v, error %v", acknowledged, v, err)
	switch {
	case err != nil:
		return "refuses to open"
	case v.Whole < acknowledged || v.Altered > 0:
		return "loses acknowledged records"
	}
	return good
}

// torn makes a store of which the last record was being written when the power
// went: its first half is there.
func torn(t *testing.T, c Candidate) string {
	const last = 500
	dir, before := t.TempDir(), t.TempDir()
	cmd, err := child(t.Context(), order{Do: "interrupt", Store: c.Name, Dir: dir, First: 1, Last: last})
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(before, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, "go\n"); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // it killed itself

	tear(t, c, dir, before, record(last, recordSize))
	v, err := viewOf(t, c, dir)
	t.Logf("%+v, error %v", v, err)
	switch {
	case err != nil:
		return "refuses to open"
	case v.Altered > 0:
		return "hands out the torn record"
	case v.Whole < last-1:
		return fmt.Sprintf("loses %d of %d whole records", last-1-v.Whole, last-1)
	}
	var n uint64
	if err := carryOut(t.Context(), order{Do: "append", Store: c.Name, Dir: dir, First: last, Last: last}, &n, nil); err != nil {
		t.Log(err)
		return "opens, but stores no more"
	}
	if v, err = viewOf(t, c, dir); err != nil || v.Whole != last || v.Altered > 0 {
		t.Logf("after one more: %+v, error %v", v, err)
		return "opens, but what is stored then is lost"
	}
	return good
}

// tear makes it so that only the first half of rec reached the disk. Whatever
// the library writes after the records are synced did not reach it either.
func tear(t *testing.T, c Candidate, dir, before string, rec []byte) {
	t.Helper()
	var file string
	var data []byte
	at := -1
	for _, f := range dataFiles(t, c, dir) {
		for _, f := range []string{f, f + "-wal"} { // SQLite's log stands beside its file
			b, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			if i := bytes.LastIndex(b, rec[:recordSize/4]); i >= 0 {
				file, data, at = f, b, i
			}
		}
	}
	if at < 0 {
		t.Fatalf("the last record is in none of %v", dataFiles(t, c, dir))
	}
	half := at + recordSize/2
	if len(data)-(at+recordSize) < 64 { // the file grows with each append
		data = data[:half]
	} else { // the file is as long as before; a page of it was torn
		page := (at + recordSize + 4095) / 4096 * 4096
		clear(data[half:min(page, len(data))])
	}
	if c.Commit > 0 {
		name, err := filepath.Rel(dir, file)
		if err != nil {
			t.Fatal(err)
		}
		old, err := os.ReadFile(filepath.Join(before, name))
		if err != nil {
			t.Fatal(err)
		}
		copy(data, old[:c.Commit])
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A spot is a place in the oldest file where a bit is flipped.
type spot struct {
	what string
	at   int
}

// spots returns where to damage a file: three in its head, and six times each a record
// itself, what stands right before one (a length, a checksum, a key) and the
// head of the 4 KiB page it is in.
func spots(t *testing.T, data []byte) []spot {
	t.Helper()
	all := []spot{{"file head", 8}, {"file head", 20}, {"file head", 100}}
	for i := range 6 {
		at := bytes.Index(data, record(uint64(100*i+50), recordSize)[:16])
		if at < 0 {
			t.Fatalf("record %d is not in the oldest file", 100*i+50)
		}
		all = append(all, spot{"record", at + 100}, spot{"before record", at - 1 - i}, spot{"page", at&^4095 + 8 + i})
	}
	return all
}

// damaged flips one bit in the oldest file of a store that was closed in
// order, at one spot after the other, and adds up what became of it.
func damaged(t *testing.T, c Candidate) string {
	sound := t.TempDir()
	var n uint64
	if err := carryOut(t.Context(), order{Do: "append", Store: c.Name, Dir: sound, First: 1, Last: recordCount}, &n, nil); err != nil {
		t.Fatal(err)
	}
	if v, err := viewOf(t, c, sound); err != nil || v != (view{Whole: recordCount}) {
		t.Fatalf("before any damage: %+v, error %v", v, err)
	}
	data, err := os.ReadFile(dataFiles(t, c, sound)[0])
	if err != nil {
		t.Fatal(err)
	}
	all := spots(t, data)
	var refused, died, altered, silent, worst int
	for _, sp := range all {
		dir := filepath.Join(t.TempDir(), "store")
		if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(data)
		bad[sp.at] ^= 1
		if err := os.WriteFile(dataFiles(t, c, dir)[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := viewOf(t, c, dir)
		t.Logf("%s, byte %d: %+v, error %v", sp.what, sp.at, v, err)
		var dead *deadError
		switch {
		case errors.As(err, &dead) && dead.refused():
			refused++
		case err != nil:
			died++
		default:
			worst = max(worst, recordCount-v.Whole)
			if v.Altered > 0 {
				altered++
			} else if v.Whole < recordCount && v.Told == "" {
				silent++
			}
		}
	}
	if refused+died+altered+silent == 0 && worst <= 1 {
		return good
	}
	var faults []string
	for _, f := range []struct {
		n    int
		text string
	}{
		{refused, "%d× refuses to open"},
		{died, "%d× ends the process"},
		{altered, "%d× hands out altered records"},
		{silent, "%d× loses without a word"},
	} {
		if f.n > 0 {
			faults = append(faults, fmt.Sprintf(f.text, f.n))
		}
	}
	if worst > 1 {
		faults = append(faults, fmt.Sprintf("else up to %d of %d lost", worst, recordCount))
	}
	return fmt.Sprintf("of %d: %s", len(all), strings.Join(faults, ", "))
}

// full fills a small disk.
func full(t *testing.T, c Candidate) string {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 { // then the namespace is where we are root
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	var f fullDisk
	if err := carryOut(t.Context(), order{Do: "full disk", Store: c.Name, Dir: t.TempDir()}, &f, attr); err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", f)
	var faults []string
	for _, fault := range []struct {
		is   bool
		text string
	}{
		{f.Err == "", "no error"},
		{f.Unread > 0, "stored records can't be read"},
		{f.Drain != "", "can't be drained while full"},
		{f.Drain == "" && !f.Freed, "draining frees no disk"},
		{f.GoesOn == never, "never stores again"},
		{f.GoesOn != atOnce && f.GoesOn != never, "stores again only " + f.GoesOn},
		{f.Lost > 0, "loses stored records"},
	} {
		if fault.is {
			faults = append(faults, fault.text)
		}
	}
	if len(faults) == 0 {
		return good
	}
	return strings.Join(faults, "; ")
}

// viewOf opens and reads a store in a child. Its error says that it did not
// open, or died, or took too long.
func viewOf(t *testing.T, c Candidate, dir string) (view, error) {
	t.Helper()
	var v view
	err := carryOut(t.Context(), order{Do: "view", Store: c.Name, Dir: dir}, &v, nil)
	return v, err
}

// dataFiles returns the files that hold c's records, the oldest first.
func dataFiles(t *testing.T, c Candidate, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, c.Data))
	if err != nil || len(files) == 0 {
		t.Fatalf("files like %s: %v, error %v; want at least one", c.Data, files, err)
	}
	slices.Sort(files)
	return files
}
