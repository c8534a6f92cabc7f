package quality

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/bits"
	"os"
	"slices"

	"github.com/google/renameio/v2"

	"tofuwatch/internal/water"
)

// A state file is its header, numbers as unsigned varints and texts behind their
// length, and a CRC-32C of all that:
//
//	position in the spool
//	number of stations; of each its ID and
//	    number of series; of each its parameter's code, 1 if it was cut, and
//	        number of samples; of each
//	            nanoseconds since the one before
//	            value, state: the bits that differ from the one before
//
// The header names the version: another one starts empty.
const stateHeader = "tofuwatch quality 1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes what j keeps to a file, all at once; position is that of the spool
// before the call.
func (j *Judge) Save(file string, position uint64) error {
	if err := j.save(file, position); err != nil {
		return fmt.Errorf("save what readings are judged by: %w", err)
	}
	return nil
}

func (j *Judge) save(file string, position uint64) error {
	pending, err := renameio.NewPendingFile(file, renameio.WithPermissions(0o640))
	if err != nil {
		return err
	}
	defer func() { _ = pending.Cleanup() }() // nothing is left once it stands in its place
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(io.MultiWriter(pending, sum), 64<<10)
	all := j.byID()
	b := binary.AppendUvarint([]byte(stateHeader), position)
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, st := range all {
		b = j.append(b, st) // station by station, so that nobody waits for long
		if _, err := out.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	if _, err := out.Write(b); err != nil { // where there is no station
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if _, err := pending.Write(sum.Sum(nil)); err != nil {
		return err
	}
	return pending.CloseAtomicallyReplace()
}

// append appends what is kept of a station.
func (j *Judge) append(b []byte, st *sensors) []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	b = appendText(b, st.station.ID)
	b = binary.AppendUvarint(b, uint64(len(st.series)))
	for _, s := range st.series {
		b = appendText(b, s.parameter.Code)
		cut := uint64(0)
		if s.cut {
			cut = 1
		}
		b = binary.AppendUvarint(b, cut)
		b = binary.AppendUvarint(b, uint64(len(s.samples)))
		var before sample
		for _, k := range s.samples {
			b = binary.AppendUvarint(b, uint64(k.at-before.at))
			// Low bits differ less often than high ones do not: turned round, the
			// numbers are short.
			b = binary.AppendUvarint(b, bits.Reverse64(math.Float64bits(k.value)^math.Float64bits(before.value)))
			k.state |= unsure // as they are read back
			b = binary.AppendUvarint(b, uint64(k.state^before.state))
			before = k
		}
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Load takes in what Save wrote and returns its position; a file that is not
// there is empty. What is of no station or parameter known now is left out. After
// an error j has seen nothing.
func (j *Judge) Load(file string, stations map[string]*water.Station, parameters *water.Parameters) (position uint64, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err == nil {
		position, err = j.load(data, stations, parameters)
	}
	if err != nil {
		return 0, fmt.Errorf("load what readings are judged by from %s: %w", file, err)
	}
	return position, nil
}

var errDamaged = errors.New("it is damaged")

func (j *Judge) load(data []byte, stations map[string]*water.Station, parameters *water.Parameters) (position uint64, err error) {
	rest, ok := bytes.CutPrefix(data, []byte(stateHeader))
	if !ok {
		return 0, errors.New("it is of another version, or damaged")
	}
	if len(rest) < crc32.Size || crc32.Checksum(data[:len(data)-crc32.Size], castagnoli) != binary.BigEndian.Uint32(data[len(data)-crc32.Size:]) {
		return 0, errDamaged
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	r := &stateReader{rest: rest[:len(rest)-crc32.Size]}
	position = r.number()
	for n := r.number(); n > 0 && r.err == nil; n-- {
		station := stations[r.text()]
		for n := r.number(); n > 0 && r.err == nil; n-- {
			parameter := parameters.Lookup([]byte(r.text()))
			cut := r.number() == 1
			samples := r.samples()
			if r.err == nil && station != nil && parameter != nil && len(samples) > 0 {
				s := j.series(j.sensors(station), parameter)
				s.samples, s.array, s.cut = samples, samples, cut
				s.owes = slices.ContainsFunc(samples, func(k sample) bool { return k.state&owed != 0 })
			}
		}
	}
	if r.err == nil && len(r.rest) > 0 {
		r.err = errDamaged
	}
	if r.err != nil {
		clear(j.stations)
		return 0, r.err
	}
	return position, nil
}

// stateReader takes a state file apart. After the first error it reads zeros.
type stateReader struct {
	rest []byte
	err  error
}

func (r *stateReader) number() uint64 {
	n, width := binary.Uvarint(r.rest)
	if width <= 0 || r.err != nil {
		r.err = errDamaged
		return 0
	}
	r.rest = r.rest[width:]
	return n
}

func (r *stateReader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.err = errDamaged
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *stateReader) samples() []sample {
	n := r.number()
	if n > MostKept {
		r.err = errDamaged
		return nil
	}
	samples := make([]sample, n)
	var before sample
	for i := range samples {
		k := sample{
			at:    before.at + int64(r.number()),
			value: math.Float64frombits(bits.Reverse64(r.number()) ^ math.Float64bits(before.value)),
			state: before.state ^ state(r.number()),
		}
		k.state = k.state&(testsMask|late|owed|worked) | unsure
		if i > 0 && k.at <= before.at {
			r.err = errDamaged
			return nil
		}
		samples[i], before = k, k
	}
	return samples
}
