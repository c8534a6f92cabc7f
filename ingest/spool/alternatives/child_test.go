package alternatives

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An order is what a child process is to do with a store. Stores are only ever
// opened in children: some libraries answer a fault by ending the process.
type order struct {
	Do    string // a key of deeds
	Store string // Candidate.Name
	Dir   string
	First uint64 // number of the first record to append
	Last  uint64 // number of the last one; for view, how many there should be
}

// orderVariable is the environment variable that makes the test binary a child.
const orderVariable = "ALTERNATIVES_ORDER"

// deeds are what a child can be told to do. What they return is printed as JSON.
var deeds = map[string]func(order, Candidate) (any, error){
	"append":    appendAll,
	"interrupt": appendAndDie,
	"flood":     appendForEver,
	"view":      viewStore,
	"full disk": onFullDisk,
	"fill":      fill,
	"resume":    resume,
	"count":     count,
}

func TestMain(m *testing.M) {
	if os.Getenv(orderVariable) == "" {
		os.Exit(m.Run())
	}
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(orderVariable)), &o); err != nil {
		panic(err)
	}
	i := slices.IndexFunc(Candidates, func(c Candidate) bool { return c.Name == o.Store })
	result, err := deeds[o.Do](o, Candidates[i])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(refusal)
	}
}

// refusal is the exit status of a child to which the library gave an error; a
// panic has another.
const refusal = 1

// child prepares a process that carries out o.
func child(ctx context.Context, o order) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), orderVariable+"="+string(text))
	return cmd, nil
}

// A deadError says how a child failed.
type deadError struct {
	Said string // its first line
	Err  error  // how it ended
}

func (e *deadError) Error() string { return fmt.Sprintf("%s (%v)", e.Said, e.Err) }

// refused says whether the library answered with an error, rather than a panic
// or nothing at all.
func (e *deadError) refused() bool {
	var exit *exec.ExitError
	return errors.As(e.Err, &exit) && exit.ExitCode() == refusal
}

// patience is how long a child may take; one that takes longer hangs, and is
// killed.
const patience = 3 * time.Minute

// carryOut runs a child for o to its end and decodes what it returns into
// result. Its error is a *deadError if the child failed.
func carryOut(ctx context.Context, o order, result any, attr *syscall.SysProcAttr) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd, err := child(ctx, o)
	if err != nil {
		return err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &stdout, &stderr, attr
	if err := cmd.Run(); err != nil {
		said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return &deadError{Said: said, Err: err}
	}
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		return fmt.Errorf("decode %q: %w", &stdout, err)
	}
	return nil
}

// batch is how many records are appended with one sync.
const batch = 10

// appendAll appends records, closes the store and returns the last number.
func appendAll(o order, c Candidate) (any, error) {
	s, err := c.Open(o.Dir, Options{Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	for n := o.First; n <= o.Last; n += batch {
		if err := s.Append(records(n, min(n+batch-1, o.Last), recordSize)); err != nil {
			return nil, err
		}
	}
	return o.Last, s.Close()
}

// appendAndDie is appendAll that, before the very last record, prints a line
// and waits for one, and after it is killed with the store open.
func appendAndDie(o order, c Candidate) (any, error) {
	s, err := c.Open(o.Dir, Options{Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	for n := o.First; n < o.Last; n += batch {
		if err := s.Append(records(n, min(n+batch-1, o.Last-1), recordSize)); err != nil {
			return nil, err
		}
	}
	fmt.Println("last but one")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return nil, err
	}
	if err := s.Append(records(o.Last, o.Last, recordSize)); err != nil {
		return nil, err
	}
	return nil, syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// appendForEver prints the number of the last record after each synced batch.
func appendForEver(o order, c Candidate) (any, error) {
	s, err := c.Open(o.Dir, Options{Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	for n := o.First; ; n += batch {
		if err := s.Append(records(n, n+batch-1, recordSize)); err != nil {
			return nil, err
		}
		fmt.Println(n + batch - 1)
	}
}

// A view is what is seen of a store that should hold the records 1 to some last.
type view struct {
	Whole   int    // distinct records that came back as they were written
	Altered int    // records that came back, but not as they were written
	Told    string // the first thing the library said about a fault; "" if nothing
}

// viewStore opens a store, reads all of it and closes it in order.
func viewStore(o order, c Candidate) (any, error) {
	var log bytes.Buffer
	s, err := c.Open(o.Dir, Options{Log: &log})
	if err != nil {
		return nil, err
	}
	v, _ := look(s, recordSize)
	if err := s.Close(); err != nil && v.Told == "" {
		v.Told = err.Error()
	}
	if v.Told == "" {
		v.Told, _, _ = strings.Cut(log.String(), "\n")
	}
	return v, nil
}

// look reads all of s. It returns also which numbers came back whole.
func look(s Store, size int) (view, map[uint64]bool) {
	var v view
	seen := map[uint64]bool{}
	for r, err := range s.Records() {
		switch {
		case err != nil:
			if v.Told == "" {
				v.Told = err.Error()
			}
		case whole(r, size):
			seen[number(r)] = true
		default:
			v.Altered++
		}
	}
	v.Whole = len(seen)
	return v, seen
}

// A fullDisk is what was seen of a store on a disk that fills.
type fullDisk struct {
	Stored uint64 // the last record that was stored
	First  uint64 // the first one that the truncation was told to keep
	Err    string // what the append said that met the full disk; "" if none did
	Unread int    // stored ones that did not come back while it was full
	Drain  string // what the truncation said while it was full; "" if it went well
	Freed  bool   // whether that gave disk back
	GoesOn string // what it took until appends worked again
	Resume string // what a restart with room said, if it was needed; "" if it went well
	Lost   int    // stored ones, not truncated, that another process did not find
	Told   string // what that process was told; "" if nothing
}

// What it took until a store stored again.
const (
	atOnce       = "at once"
	withRoom     = "with room from elsewhere"
	whenReopened = "after a restart, with room from elsewhere"
	never        = "never"
)

const (
	diskSize    = 16 << 20
	ballastSize = 1 << 20 // something else on that disk, which can make room
	bigRecord   = 3000    // fills the disk in fewer steps
)

// onFullDisk mounts a small disk in its own mount namespace, so that it is
// gone when the process is, and has others use a store there. None of them
// closes it: what is synced needs no goodbye.
func onFullDisk(o order, c Candidate) (any, error) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("spool", o.Dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
		return nil, fmt.Errorf("mount a small disk: %w", err)
	}
	if err := os.WriteFile(ballast(o.Dir), make([]byte, ballastSize), 0o600); err != nil {
		return nil, err
	}
	o.Dir = filepath.Join(o.Dir, "store")
	if err := os.Mkdir(o.Dir, 0o700); err != nil {
		return nil, err
	}
	var f fullDisk
	o.Do = "fill"
	if err := carryOut(context.Background(), o, &f, nil); err != nil {
		return nil, err
	}
	if f.GoesOn == never {
		o.Do, o.First, o.Last = "resume", f.First, f.Stored
		var stored uint64
		if err := carryOut(context.Background(), o, &stored, nil); err != nil {
			f.Resume = err.Error()
		} else {
			f.GoesOn, f.Stored = whenReopened, stored
		}
	}
	o.Do, o.First, o.Last = "count", f.First, f.Stored
	var n counted
	if err := carryOut(context.Background(), o, &n, nil); err != nil {
		f.Lost, f.Told = int(f.Stored-f.First+1), err.Error()
		return f, nil
	}
	f.Lost, f.Told = n.Missing, n.Told
	return f, nil
}

// ballast is the file beside the store on the small disk.
func ballast(disk string) string { return filepath.Join(disk, "ballast") }

// diskOptions set no bound: the disk is to be it.
var diskOptions = Options{Limit: 1 << 30, Log: os.Stderr}

// fill appends to a store until the disk is full, drains it, and goes on.
func fill(o order, c Candidate) (any, error) {
	s, err := c.Open(o.Dir, diskOptions)
	if err != nil {
		return nil, err
	}
	var f fullDisk
	try := func() error { // a batch that was refused is tried again
		err := s.Append(records(f.Stored+1, f.Stored+batch, bigRecord))
		if err == nil {
			f.Stored += batch
		}
		return err
	}
	for f.Err == "" && f.Stored*bigRecord < 4*diskSize {
		if err := try(); err != nil {
			f.Err = err.Error()
		}
	}
	for range 5 { // the source does not go away
		try()
	}
	_, seen := look(s, bigRecord)
	f.Unread = missing(seen, 1, f.Stored)

	f.First = f.Stored/2 + 1
	before := free(o.Dir)
	if err := s.TruncateFront(f.First); err != nil {
		f.Drain = err.Error()
	}
	f.Freed = free(o.Dir) > before

	f.GoesOn = atOnce
	if try() != nil {
		if err := os.Remove(ballast(filepath.Dir(o.Dir))); err != nil {
			return nil, err
		}
		s.TruncateFront(f.First) // if it still can't, the append shows what matters
		f.GoesOn = withRoom
		if try() != nil {
			f.GoesOn = never
		}
	}
	for range 20 {
		if f.GoesOn == never || try() != nil {
			break
		}
	}
	return f, nil
}

// resume opens the store of a disk that was full, drains it and stores a batch
// after o.Last; it returns the last number then.
func resume(o order, c Candidate) (any, error) {
	s, err := c.Open(o.Dir, diskOptions)
	if err != nil {
		return nil, err
	}
	if err := s.TruncateFront(o.First); err != nil {
		return nil, err
	}
	return o.Last + batch, s.Append(records(o.Last+1, o.Last+batch, bigRecord))
}

// counted is how many of the wanted records are missing.
type counted struct {
	Missing int
	Told    string
}

// count opens a store and looks for the records from o.First to o.Last.
func count(o order, c Candidate) (any, error) {
	var log bytes.Buffer
	s, err := c.Open(o.Dir, Options{Limit: diskOptions.Limit, Log: &log})
	if err != nil {
		return nil, err
	}
	v, seen := look(s, bigRecord)
	if v.Told == "" {
		v.Told, _, _ = strings.Cut(log.String(), "\n")
	}
	return counted{Missing: missing(seen, o.First, o.Last), Told: v.Told}, nil
}

// missing counts the numbers from first to last that were not seen.
func missing(seen map[uint64]bool, first, last uint64) int {
	n := 0
	for i := first; i <= last; i++ {
		if !seen[i] {
			n++
		}
	}
	return n
}

// free returns the bytes that are free on the disk of dir.
func free(dir string) uint64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0
	}
	return st.Bfree * uint64(st.Bsize)
}
