package spool

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tofuwatch/ingest"
	"tofuwatch/internal/water"
)

// diskChild is the environment variable that tells a child of this test binary
// where to mount its small disk.
const diskChild = "SPOOL_TEST_DISK"

const diskBytes = 4 << 20

// smallDisk runs the test again, in a child that has a mount namespace of its
// own, and returns "" here. There it returns the folder of a small disk.
func smallDisk(t *testing.T) string {
	t.Helper()
	if disk := os.Getenv(diskChild); disk != "" {
		if err := syscall.Mount("spool", disk, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
			t.Fatalf("mount a small disk: %v", err)
		}
		return disk
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), diskChild+"="+t.TempDir())
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	} else {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil && strings.Contains(string(out), "--- PASS: "+t.Name()):
	case os.Getenv("CI") == "" && (errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "mount a small disk: ")):
		t.Skipf("no small disk can be mounted here (%v); run the test as root", err)
	default:
		t.Errorf("on a small disk (%v):\n%s", err, out)
	}
	return ""
}

// fill makes ballast take all the room on a disk, but for leave bytes.
func fill(t *testing.T, ballast string, leave int64) {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(ballast), &fs); err != nil {
		t.Fatal(err)
	}
	free := int64(fs.Bavail) * int64(fs.Bsize) //nolint:unconvert // an int32 on 32-bit machines
	f, err := os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(make([]byte, free-leave))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatalf("take %d bytes of the disk: %v", free-leave, err)
	}
}

func TestFullDisk(t *testing.T) {
	disk := smallDisk(t)
	if disk == "" {
		return
	}
	log := new(spoolLog)
	o := options(filepath.Join(disk, "data"))
	s := opened(t, o, log)
	s.records.rollAt = 200 << 10
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast, 2<<20)

	// Some hundred outcomes of 4 KiB, each with as many readings as that takes.
	const each = 400
	message := func(i int) ingest.Outcome { return outcome(sequence(i*each, (i+1)*each-1)...) }
	stored := 0
	refusal := error(nil)
	for refusal == nil {
		if refusal = appendOne(s, message(stored)); refusal == nil {
			stored++
		}
	}
	if !errors.Is(refusal, ErrFull) {
		t.Fatalf("Append on a full disk ended with %v, want %v", refusal, ErrFull)
	}
	if stored < 100 {
		t.Fatalf("only %d messages of 4 KiB fit into 2 MiB", stored)
	}
	received := uint64(stored * each)
	none := map[water.Reason]uint64{}
	wantLedger(t, s, ingest.Ledger{Received: received, Pending: received, DeadLettered: none})

	// The reserve is what is left, and somebody else takes it between our look
	// at the disk and the write, which fails half-way.
	fill(t, ballast, 8<<10)
	before := segmentFiles(t, o.DataDir, "spool")
	size := len(readFile(t, before[len(before)-1]))
	var group []byte
	for i := range 4 {
		r := record{received: message(0).Received, readings: each}
		group = appendRecord(group, func(dst []byte) []byte { return encode(r.appendTo(dst), message(i).Observations) })
	}
	if err := s.records.write(group); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("write of %d bytes into 8 KiB ended with %v, want %v", len(group), err, syscall.ENOSPC)
	}
	if got := len(readFile(t, before[len(before)-1])); got != size {
		t.Errorf("the segment has %d bytes after a write that failed, want %d", got, size)
	}

	// Not a byte is free now. All is there, a refusal has to wait, and draining
	// goes on, which makes room.
	fill(t, ballast, 0)
	for range 3 {
		if err := appendOne(s, message(stored)); !errors.Is(err, ErrFull) {
			t.Errorf("Append without a free byte ended with %v, want %v", err, ErrFull)
		}
	}
	wantPending(t, s, sequence(0, stored*each-1))
	b, err := s.Next(t.Context(), stored/2*each, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Done(b, refusals(t, b, 5)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a dead letter without a free byte ended with %v, want %v", err, syscall.ENOSPC)
	}
	wantLedger(t, s, ingest.Ledger{Received: received, Pending: received, DeadLettered: none})
	done(t, s, b)
	half := s.Health().Ledger
	checkBalance(t, half)
	if half.Pending != received-uint64(stored/2*each) {
		t.Errorf("%d readings pending after half is done, want %d", half.Pending, received-uint64(stored/2*each))
	}

	// Room again: what was withheld comes again, and stays.
	remove(t, ballast)
	appendAll(t, s, message(stored), message(stored+1))
	wantPending(t, s, sequence(stored/2*each, (stored+2)*each-1))
	closeSpool(t, s)
	s = opened(t, o, log)
	done(t, s, wantPending(t, s, sequence(stored/2*each, (stored+2)*each-1)))
	if got := s.Health().Ledger; got.Received != received+2*each || got.Pending != 0 {
		t.Errorf("ledger %+v when all is drained, want %d received and none pending", got, received+2*each)
	}
	checkBalance(t, s.Health().Ledger)
	if log.String() != "" {
		t.Errorf("logged: %s", log)
	}
}
