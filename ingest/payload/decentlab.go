package payload

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

// A Layout is what is in the frames of a product: a frame does not say.
type Layout struct{ groups []group }

// A group is a sensor of a product. A frame has it or not.
type group struct {
	words  int
	values []framed
}

// framed is a value of a group: (word - minus) / by.
type framed struct {
	name      string // looked up as a key of a message would be
	unit      water.Unit
	word      int // of the group
	minus, by float64
}

// battery is the last group of every product.
var battery = group{1, []framed{{"battery_voltage", "V", 0, 0, 1000}}}

// Layouts are those that there are, as a site file names them. What words mean is
// taken from the decoders that the manufacturer publishes, decentlab-decoders.
//
// Values have their names there, or their parameter's where they are one. What is
// no parameter of the site is ignored: so is what a product estimates, such as
// solids from turbidity. FNU is not NTU.
var Layouts = map[string]*Layout{
	"decentlab-pheht": {[]group{
		{5, []framed{
			{"status", "", 0, 0, 1},
			{"temperature", "°C", 1, 32768, 100},
			{"ph", "pH", 2, 32768, 100},
			{"orp", "mV", 3, 32768, 10},
			{"ph_mv", "mV", 4, 32768, 10},
		}},
		battery,
	}},
	"decentlab-optod": {[]group{
		{5, []framed{
			{"status", "", 0, 0, 1},
			{"temperature", "°C", 1, 32768, 100},
			{"oxygen_saturation", "", 2, 32768, 100}, // %
			{"do", "mg/L", 3, 32768, 100},
			{"oxygen_concentration_alt", "", 4, 32768, 100}, // ppm
		}},
		battery,
	}},
	"decentlab-ntu": {[]group{
		{5, []framed{
			{"status", "", 0, 0, 1},
			{"temperature", "°C", 1, 32768, 100},
			{"turbidity", "NTU", 2, 0, 10},
			{"turbidity_in_fnu", "FNU", 3, 0, 10},
			{"turbidity_in_mg/l", "mg/L", 4, 0, 10},
		}},
		battery,
	}},
	"decentlab-ctd10": {[]group{
		{4, []framed{
			{"level", "mm", 0, 32768, 1},
			{"temperature", "°C", 1, 32768, 10},
			{"ec", "µS/cm", 2, 0, 1},
			{"freezing_flag", "", 3, 0, 1},
		}},
		battery,
	}},
}

// A frame is a version, the device's number, and flags that say which groups
// follow, the first by the lowest bit.
const (
	frameVersion = 2
	frameHead    = 1 + 2 + 2
)

// DecodeFrame adds to d what is in a frame. Layout is nil if the site file does
// not say what the frames of the device are.
//
// A group that is absent is no reading: partial frames are normal. There is no
// way to say "no value".
func (c *Decoder) DecodeFrame(d *Decoded, f Frame, layout *Layout) {
	s := c.newSample(d)
	defer s.release()
	s.begin()
	s.number, s.device, s.time.at = f.Number, f.Device, f.Time
	if layout == nil {
		s.fault(water.NoReading, 1, fmt.Sprintf("nothing but %d bytes; write frames: decentlab-pheht, or which it is, to the station or the source in the site file, or let the network server decode them",
			len(f.Data)))
		return
	}
	if detail := s.frame(f.Data, layout); detail != "" {
		s.fault(water.Malformed, 1, detail)
		return
	}
	before := len(d.Readings)
	s.settle()
	if len(d.Readings) == before && !s.skipped {
		s.fault(water.NoReading, 1, s.nothingKnown())
	}
}

// frame reads data, or says why it is no frame of this layout.
func (s *sample) frame(data []byte, layout *Layout) (bad string) {
	if len(data) < frameHead || data[0] != frameVersion {
		return fmt.Sprintf("%d bytes %s are no Decentlab frame; want version %d, the device's number, flags and at least one group",
			len(data), quote([]byte(hex.EncodeToString(data[:min(len(data), 8)]))), frameVersion)
	}
	flags, words := binary.BigEndian.Uint16(data[3:]), data[frameHead:]
	if most := len(layout.groups); flags>>most != 0 {
		return fmt.Sprintf("the frame's flags %#04x name more groups than the %d of this product; see that frames: in the site file is right", flags, most)
	}
	need := 0
	for i, g := range layout.groups {
		if flags&(1<<i) != 0 {
			need += 2 * g.words
		}
	}
	if len(words) != need {
		return fmt.Sprintf("the frame has %d bytes behind its flags, and its flags want %d; see that frames: in the site file is right", len(words), need)
	}
	for i, g := range layout.groups {
		if flags&(1<<i) == 0 {
			continue
		}
		for _, v := range g.values {
			number := (float64(binary.BigEndian.Uint16(words[2*v.word:])) - v.minus) / v.by
			s.add([]byte(v.name), &node{kind: jx.Object, children: []node{
				{key: []byte("value"), kind: jx.Number, text: strconv.AppendFloat(nil, number, 'f', -1, 64)},
				{key: []byte("unit"), kind: jx.String, text: []byte(v.unit)},
			}})
		}
		words = words[2*g.words:]
	}
	return ""
}

// rawFrame decodes a message that is one frame of a Decentlab device: its bytes,
// or these as hexadecimal digits or base64.
//
//	02 52b8 0003 0000 8842 82c7 7f63 7ff6 0c5c   of a DL-PHEHT: 21.14 °C, pH 7.11, -15.7 mV
//
// The device is its number, "21176" here. A frame has no time.
func (c *Decoder) rawFrame(d *Decoded, in Input) {
	data := bytes.Clone(in.Payload)
	if text := bytes.Trim(data, whiteSpace); len(text) > 0 && !slices.ContainsFunc(text, func(b byte) bool { return b < ' ' || b > '~' }) {
		decoded, err := hex.DecodeString(string(text))
		if err != nil {
			decoded, err = base64.StdEncoding.DecodeString(string(text))
		}
		if err == nil {
			data = decoded
		}
	}
	f := Frame{Data: data}
	if len(data) >= frameHead && data[0] == frameVersion {
		f.Device = Device{strconv.Itoa(int(binary.BigEndian.Uint16(data[1:])))}
	}
	d.Frames = append(d.Frames, f)
}
