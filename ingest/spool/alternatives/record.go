package alternatives

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// record returns the nth record: its number, and bytes that no other has.
func record(n uint64, size int) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, size), n)
	for rnd := rand.NewPCG(n, 0); len(b) < size; {
		b = binary.BigEndian.AppendUint64(b, rnd.Uint64())
	}
	return b[:size]
}

// records returns those from first to last.
func records(first, last uint64, size int) [][]byte {
	var rs [][]byte
	for n := first; n <= last; n++ {
		rs = append(rs, record(n, size))
	}
	return rs
}

// number returns the number that a record carries.
func number(record []byte) uint64 {
	if len(record) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(record)
}

// whole says whether a record is as it was written.
func whole(r []byte, size int) bool { return bytes.Equal(r, record(number(r), size)) }
