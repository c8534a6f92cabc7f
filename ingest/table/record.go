package table

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"tofuwatch/internal/water"
)

// Limits on what is one record. Past them a quote was not meant, or the file is
// no table.
const (
	mostLineBytes = 1 << 20
	mostLines     = 20 // of a cell with line ends in it
)

// sniffed is how much of a file is looked at before the first line is read.
const sniffed = 64 << 10

// decode returns r as UTF-8, and whether that is sure: lines that are not valid
// UTF-8 are told apart later otherwise.
func decode(r io.Reader, encoding string) (_ *bufio.Reader, utf8Sure bool) {
	b := bufio.NewReaderSize(r, sniffed)
	head, _ := b.Peek(4 << 10) // an error comes again when it is read
	var fallback transform.Transformer
	switch {
	case bytes.HasPrefix(head, utf8Mark):
		_, _ = b.Discard(len(utf8Mark)) // they are in the buffer
		return b, true
	case hasMark(head):
		fallback = unicode.UTF8.NewDecoder() // the mark overrides it
	case encoding == Windows1252:
		fallback = charmap.Windows1252.NewDecoder()
	case encoding == UTF16, encoding == "" && looksUTF16(head):
		end := unicode.LittleEndian
		if len(head) > 1 && head[0] == 0 {
			end = unicode.BigEndian
		}
		fallback = unicode.UTF16(end, unicode.UseBOM).NewDecoder()
	default:
		return b, encoding == UTF8
	}
	return bufio.NewReaderSize(transform.NewReader(b, unicode.BOMOverride(fallback)), sniffed), true
}

// utf8Mark is the byte order mark of UTF-8.
var utf8Mark = []byte("\xef\xbb\xbf")

// hasMark reports whether a file starts with a byte order mark of UTF-16.
func hasMark(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff"))
}

// looksUTF16 reports whether every second byte is 0, as where Latin letters are
// written in UTF-16.
func looksUTF16(head []byte) bool {
	var even, odd int
	for i, c := range head {
		switch {
		case c != 0:
		case i%2 == 0:
			even++
		default:
			odd++
		}
	}
	return max(even, odd) > len(head)/4 && min(even, odd) < len(head)/16
}

// A record is one row of a table.
type record struct {
	line    int // of its first line
	text    string
	fields  []string // valid until the next record is read
	problem water.Text
}

// records splits text into rows and cells as RFC 4180 and Excel have them. Unlike
// encoding/csv it outlives a stray quote: that costs its own line, where it would
// otherwise swallow the file up to the next one.
type records struct {
	r         *bufio.Reader
	utf8Sure  bool
	separator byte
	line      int       // read so far
	ahead     []string  // lines that were read and given back, in order
	one       [1]string // what ahead mostly is
	fields    []string
}

// next returns the next record, or io.EOF.
func (r *records) next() (record, error) {
	text, err := r.readLine()
	if err != nil && !errors.Is(err, errTooLong) {
		return record{}, err
	}
	rec := record{line: r.line, text: text}
	if err != nil {
		rec.problem = say("the line is longer than %d bytes; is this a CSV file?", "baris lebih dari %d byte; apakah ini berkas CSV?", mostLineBytes)
		return rec, nil
	}
	if rec.text, rec.problem = r.inUTF8(text); rec.problem != (water.Text{}) {
		return rec, nil
	}
	fields, end := split(r.fields[:0], rec.text, r.separator)
	if end == inQuotes {
		fields, end = r.joined(&rec)
	}
	r.fields, rec.fields = fields, fields
	switch end {
	case inQuotes:
		rec.problem = say(`a quote (") opens a text that does not end; remove the quote, or write "" for one that belongs to the text`,
			`tanda kutip (") membuka teks yang tidak ditutup; hapus tanda kutip itu, atau tulis "" bila memang bagian dari teks`)
	case behindQuotes:
		rec.problem = say(`something follows a closing quote ("); put the whole cell in quotes, and write "" for a quote that belongs to the text`,
			`ada tulisan setelah tanda kutip (") penutup; beri tanda kutip pada seluruh sel, dan tulis "" bila tanda kutip bagian dari teks`)
	}
	return rec, nil
}

// joined reads on until the quotes of rec close. If they do not, or not as in a
// table, the further lines are given back.
func (r *records) joined(rec *record) ([]string, ending) {
	var (
		taken []string
		text  = rec.text
	)
	for range mostLines - 1 {
		more, err := r.readLine()
		if err != nil {
			if errors.Is(err, errTooLong) {
				taken = append(taken, more)
			}
			break
		}
		taken = append(taken, more)
		if clean, problem := r.inUTF8(more); problem == (water.Text{}) {
			more = clean
		}
		if len(text)+len(more) > mostLineBytes {
			break
		}
		text += "\n" + more
		fields, end := split(r.fields[:0], text, r.separator)
		if end == whole {
			rec.text = text
			return fields, end
		}
		if end == behindQuotes {
			break
		}
	}
	r.ahead = append(taken, r.ahead...)
	r.line -= len(taken)
	return split(r.fields[:0], rec.text, r.separator)
}

var errTooLong = errors.New("line too long")

// readLine returns the next line without its end, be that \n, \r\n or \r.
func (r *records) readLine() (string, error) {
	if len(r.ahead) == 0 {
		if err := r.readAhead(); err != nil {
			return "", err
		}
	}
	line := r.ahead[0]
	r.ahead = r.ahead[1:]
	r.line++
	if len(line) > mostLineBytes {
		return line[:100], errTooLong
	}
	return line, nil
}

// readAhead reads up to the next \n. Lines of old Macintosh files end in \r alone.
func (r *records) readAhead() error {
	chunk, err := r.r.ReadSlice('\n')
	line := string(chunk)
	if errors.Is(err, bufio.ErrBufferFull) {
		var b strings.Builder
		b.WriteString(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			chunk, err = r.r.ReadSlice('\n')
			if b.Len() <= mostLineBytes { // the rest is passed over
				b.Write(chunk)
			}
		}
		line = b.String()
	}
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case err != nil && line == "":
		return io.EOF
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if strings.IndexByte(line, '\r') < 0 {
		r.one[0] = line
		r.ahead = r.one[:]
		return nil
	}
	r.ahead = strings.Split(line, "\r")
	return nil
}

// inUTF8 returns a line as UTF-8. One that is not, in a file that does not say what
// it is, was written by a program that knows Windows' alphabet only.
func (r *records) inUTF8(line string) (string, water.Text) {
	if utf8.ValidString(line) {
		return line, water.Text{}
	}
	if r.utf8Sure {
		return line, say("the line has characters that are not UTF-8; save the file as UTF-8, or set encoding: windows-1252",
			"baris berisi karakter yang bukan UTF-8; simpan berkas sebagai UTF-8, atau atur encoding: windows-1252")
	}
	decoded, err := charmap.Windows1252.NewDecoder().String(line)
	if err != nil { // it has a letter for every byte
		return line, say("the line cannot be read as text", "baris tidak dapat dibaca sebagai teks")
	}
	return decoded, water.Text{}
}

// ending says how a text ended that was split.
type ending int

const (
	whole        ending = iota
	inQuotes            // a quote is open
	behindQuotes        // something stands between a closing quote and the separator
)

// split appends the cells of text to fields, without the space around them.
func split(fields []string, text string, separator byte) ([]string, ending) {
	for {
		start := 0
		for start < len(text) && text[start] == ' ' {
			start++
		}
		if start == len(text) || text[start] != '"' {
			i := strings.IndexByte(text, separator)
			if i < 0 {
				return append(fields, strings.TrimSpace(text)), whole
			}
			fields = append(fields, strings.TrimSpace(text[:i]))
			text = text[i+1:]
			continue
		}
		text = text[start+1:]
		var b strings.Builder
		for {
			i := strings.IndexByte(text, '"')
			if i < 0 {
				return append(fields, b.String()+text), inQuotes
			}
			b.WriteString(text[:i])
			text = text[i+1:]
			if text == "" || text[0] != '"' {
				break
			}
			b.WriteByte('"')
			text = text[1:]
		}
		fields = append(fields, strings.TrimSpace(b.String()))
		for text != "" && text[0] == ' ' && separator != ' ' {
			text = text[1:]
		}
		switch {
		case text == "":
			return fields, whole
		case text[0] != separator:
			return fields, behindQuotes
		}
		text = text[1:]
	}
}
