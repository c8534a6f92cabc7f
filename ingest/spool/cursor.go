package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
)

// A cursor says how far the spool is drained. It lives in a file of two slots
// that are written in turn and in place: a crash spoils one of them at most, and
// a full disk neither.
type cursor struct {
	file *os.File
	turn uint64 // counts writes; the slot is turn % 2

	position uint64 // everything before it is in InfluxDB, or a dead letter
	stored   uint64 // readings in InfluxDB, since the spool was first used
}

const (
	slotBytes  = 4096 // a slot never shares a disk block with the other one
	cursorSize = 3 * 8
)

// openCursor opens the cursor in file, or starts one at 0. fresh says that
// there was none, or none that could be read.
func openCursor(file string) (c *cursor, fresh bool, err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, false, fmt.Errorf("open cursor: %w", err)
	}
	c = &cursor{file: f}
	data := make([]byte, 2*slotBytes)
	if _, err := f.ReadAt(data, 0); err == nil {
		c.take(data[:slotBytes])
		c.take(data[slotBytes:])
	}
	if c.turn > 0 {
		return c, false, nil
	}
	// Room for both slots now, so that none is needed when the disk is full.
	_, err = f.WriteAt(make([]byte, 2*slotBytes), 0)
	if err == nil {
		err = c.move(0, 0) // or one that was never moved would look lost
	}
	if err != nil {
		return nil, false, errors.Join(fmt.Errorf("make cursor: %w", err), f.Close())
	}
	return c, true, nil
}

// take adopts a slot if it is whole and newer.
func (c *cursor) take(slot []byte) {
	if crc32.Checksum(slot[:cursorSize], castagnoli) != binary.LittleEndian.Uint32(slot[cursorSize:]) {
		return
	}
	if turn := binary.LittleEndian.Uint64(slot); turn > c.turn {
		c.turn = turn
		c.position = binary.LittleEndian.Uint64(slot[8:])
		c.stored = binary.LittleEndian.Uint64(slot[16:])
	}
}

// move makes a new position and count durable, or leaves both as they were.
func (c *cursor) move(position, stored uint64) error {
	var slot []byte
	slot = binary.LittleEndian.AppendUint64(slot, c.turn+1)
	slot = binary.LittleEndian.AppendUint64(slot, position)
	slot = binary.LittleEndian.AppendUint64(slot, stored)
	slot = binary.LittleEndian.AppendUint32(slot, crc32.Checksum(slot, castagnoli))
	if _, err := c.file.WriteAt(slot, int64((c.turn+1)%2)*slotBytes); err != nil {
		return fmt.Errorf("move cursor: %w", err)
	}
	if err := c.file.Sync(); err != nil {
		return fmt.Errorf("move cursor: %w", err)
	}
	c.turn, c.position, c.stored = c.turn+1, position, stored
	return nil
}

func (c *cursor) close() error { return c.file.Close() }
