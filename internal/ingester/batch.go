package ingester

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-faster/jx"

	"tofuwatch/ingest/table"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

// A batch is a file of samples on its way from a command to whoever owns the data
// folder: JSON, a line a sample, behind a line that says where they come from.
//
//	{"file":"results.csv","method":"lab"}
//	{"line":4,"station":"ipal-01","time":1795417200000000000,"lab":"UPTD Lab","values":[{"p":"cod","v":286.5},{"p":"bod","v":2,"c":"<"}]}
//
// It is complete as soon as it has its name, and stays until all of it is in the
// spool.
type batchHeader struct {
	File   string       `json:"file"` // as people call it
	Method water.Method `json:"method"`
	Again  bool         `json:"again,omitempty"` // also what was imported before
}

// Names of the files in the folder "import" below a data folder.
const (
	batchPrefix    = "batch-"
	progressPrefix = "progress-"
	outcomePrefix  = "result-"
	newPrefix      = ".new-"
	asidePrefix    = "unreadable-"
)

func importFolder(s *site.Site) string { return filepath.Join(s.DataDir, "import") }

// A Batch is being written.
type Batch struct {
	folder  string
	f       *os.File
	w       *bufio.Writer
	digest  hash.Hash
	enc     jx.Encoder
	samples int
}

// NewBatch starts a batch for the data folder of s: samples of a file, by a method.
// With again, what was imported before is stored again.
func NewBatch(s *site.Site, file string, method water.Method, again bool) (*Batch, error) {
	b := &Batch{folder: importFolder(s), digest: sha256.New()}
	if err := os.MkdirAll(b.folder, 0o770); err != nil {
		return nil, fmt.Errorf("create folder for imports: %w", err)
	}
	var err error
	if b.f, err = os.OpenFile(filepath.Join(b.folder, newPrefix+rand.Text()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o660); err != nil {
		return nil, fmt.Errorf("start import: %w", err)
	}
	b.w = bufio.NewWriterSize(b.f, 256<<10)
	header, err := json.Marshal(batchHeader{table.Printable(file), method, again})
	if err == nil {
		_, err = b.w.Write(append(header, '\n'))
	}
	// The digest is of what is imported, not of where it stood.
	fmt.Fprintln(b.digest, method)
	return b, err
}

// Samples is how many samples were added.
func (b *Batch) Samples() int { return b.samples }

// Add adds a sample.
func (b *Batch) Add(s *table.Sample) error {
	e := &b.enc
	e.Reset()
	e.ObjStart()
	e.FieldStart("line")
	e.Int(s.Line)
	line := len(e.Bytes())
	e.FieldStart("station")
	e.Str(s.Station.ID)
	e.FieldStart("time")
	e.Int64(s.Time.UnixNano())
	for _, text := range []struct{ key, value string }{
		{"lab", s.Result.Laboratory}, {"analysis", s.Result.Analysis}, {"sample", s.Result.Sample},
	} {
		if text.value != "" {
			e.FieldStart(text.key)
			e.Str(text.value)
		}
	}
	if s.Result.Revision != 0 {
		e.FieldStart("revision")
		e.Int(s.Result.Revision)
	}
	if !s.Result.Analysed.IsZero() {
		e.FieldStart("analysed")
		e.Int64(s.Result.Analysed.Unix())
	}
	e.FieldStart("values")
	e.ArrStart()
	for _, v := range s.Values {
		e.ObjStart()
		e.FieldStart("p")
		e.Str(v.Parameter.Code)
		if !math.IsNaN(v.Value) {
			e.FieldStart("v")
			e.Float64(v.Value)
		}
		if v.Censor != water.Uncensored {
			e.FieldStart("c")
			e.Str(string(v.Censor))
		}
		if v.Analysis != "" {
			e.FieldStart("a")
			e.Str(v.Analysis)
		}
		e.ObjEnd()
	}
	e.ArrEnd()
	e.ObjEnd()
	b.samples++
	b.digest.Write(e.Bytes()[line:])
	if _, err := b.w.Write(append(e.Bytes(), '\n')); err != nil {
		return fmt.Errorf("write import: %w", err)
	}
	return nil
}

// Finish makes the batch durable and gives it its name, by which [Import] knows it.
func (b *Batch) Finish() (name string, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("keep import: %w", err), os.Remove(b.f.Name()))
		}
	}()
	if err := errors.Join(b.w.Flush(), b.f.Sync(), b.f.Close()); err != nil {
		return "", err
	}
	// Batches are taken in by the order of their names.
	name = fmt.Sprintf("%020d-%s", time.Now().UnixNano(), hex.EncodeToString(b.digest.Sum(nil)[:16]))
	if err := os.Rename(b.f.Name(), filepath.Join(b.folder, batchPrefix+name)); err != nil {
		return "", err
	}
	folder, err := os.Open(b.folder)
	if err != nil {
		return "", err
	}
	defer folder.Close()
	return name, folder.Sync()
}

// Abort forgets the batch.
func (b *Batch) Abort() error { return errors.Join(b.f.Close(), os.Remove(b.f.Name())) }

// digestOf returns what a batch's name says of its content.
func digestOf(name string) string {
	_, digest, _ := strings.Cut(name, "-")
	return digest
}

// batchNames returns the batches that wait in a folder, in the order in which they
// are taken in.
func batchNames(folder string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // nothing was ever imported
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), batchPrefix); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// A batchReader reads a batch back.
type batchReader struct {
	header     batchHeader
	f          *os.File
	r          *bufio.Reader
	offset     int64 // of the next line
	size       int64
	stations   map[string]*water.Station
	parameters *water.Parameters
	dec        jx.Decoder
}

// errBatch says that a batch is not as it was written.
var errBatch = errors.New("the import cannot be read back")

// openBatch opens a batch at an offset, which is 0 or one that it had.
func openBatch(file string, offset int64, stations map[string]*water.Station, parameters *water.Parameters) (*batchReader, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	b := &batchReader{f: f, r: bufio.NewReaderSize(f, 256<<10), stations: stations, parameters: parameters}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b.size = info.Size()
	line, err := b.r.ReadBytes('\n')
	b.offset = int64(len(line))
	if err != nil || json.Unmarshal(line, &b.header) != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", errBatch, file), f.Close())
	}
	if offset > b.offset {
		if _, err := f.Seek(offset, io.SeekStart); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		b.r.Reset(f)
		b.offset = offset
	}
	return b, nil
}

func (b *batchReader) close() { _ = b.f.Close() }

// A batchSample is a sample of a batch. What the site no longer has is left out of it.
type batchSample struct {
	station *water.Station
	time    time.Time
	result  water.Result
	values  []table.Value
}

// next reads the next sample into s, or returns io.EOF.
func (b *batchReader) next(s *batchSample) error {
	line, err := b.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		rest, more := b.r.ReadBytes('\n')
		line, err = append(bytes.Clone(line), rest...), more
	}
	if err != nil {
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return io.EOF
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%w: line at byte %d: %w", errBatch, b.offset, err)
	}
	*s = batchSample{values: s.values[:0]}
	b.dec.ResetBytes(line)
	if err := b.dec.ObjBytes(func(d *jx.Decoder, key []byte) error { return b.field(s, d, string(key)) }); err != nil {
		return fmt.Errorf("%w: line at byte %d: %w", errBatch, b.offset, err)
	}
	b.offset += int64(len(line))
	return nil
}

func (b *batchReader) field(s *batchSample, d *jx.Decoder, key string) (err error) {
	switch key {
	case "station":
		var id string
		id, err = d.Str()
		s.station = b.stations[id]
	case "time":
		var ns int64
		ns, err = d.Int64()
		s.time = time.Unix(0, ns).UTC()
	case "lab":
		s.result.Laboratory, err = d.Str()
	case "analysis":
		s.result.Analysis, err = d.Str()
	case "sample":
		s.result.Sample, err = d.Str()
	case "revision":
		s.result.Revision, err = d.Int()
	case "analysed":
		var seconds int64
		seconds, err = d.Int64()
		s.result.Analysed = time.Unix(seconds, 0).UTC()
	case "values":
		return d.Arr(func(d *jx.Decoder) error {
			v := table.Value{Value: math.NaN()}
			if err := d.ObjBytes(func(d *jx.Decoder, key []byte) error { return b.valueField(&v, d, string(key)) }); err != nil {
				return err
			}
			if v.Parameter != nil {
				s.values = append(s.values, v)
			}
			return nil
		})
	default:
		return d.Skip()
	}
	return err
}

func (b *batchReader) valueField(v *table.Value, d *jx.Decoder, key string) (err error) {
	switch key {
	case "p":
		var code []byte
		code, err = d.StrBytes()
		v.Parameter = b.parameters.Lookup(code)
	case "v":
		v.Value, err = d.Float64()
	case "c":
		var censor string
		censor, err = d.Str()
		v.Censor = water.Censor(censor)
	case "a":
		v.Analysis, err = d.Str()
	default:
		return d.Skip()
	}
	return err
}
