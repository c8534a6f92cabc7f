// Package strict reads YAML files that people write by hand, and tells every
// fault of a file at once: where it is, what is wrong, and what would be right.
//
// A reader walks a file from its root. Each method of a [Value] reads one thing,
// records what is wrong with it in the [Document], and lets the reader go on; at
// the end there is either no fault, or all of them:
//
//	d := strict.Parse("site.yaml", data, strict.Options{…})
//	s := d.Root().Section("site", "time_zone")
//	strict.Text(s.Key("site").Required("for example semarang"), &name, "text", strict.Printable)
//	if fs := d.Faults(); fs != nil {
//		return nil, fs
//	}
//
// The YAML library's own decoding is not used: it speaks of Go types, stops at
// the first duplicate key, and takes 010 for 8.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Options say what a kind of file is like.
type Options struct {
	Want    string // what is in such a file at least, for one that is empty: "site, mqtt and stations"
	Example string // a line of such a file, for one that is no mapping: "site: semarang"
	// Unknown says what is wrong with an unknown key, given its path and the
	// keys that stand in its place; empty for the usual words. It may be nil.
	Unknown func(path string, have []string) string
}

// A Document is a file that is being read.
type Document struct {
	file  string
	o     Options
	root  Value
	found []located
}

// Parse returns the one YAML document in data. File is what faults are told to
// be in.
func Parse(file string, data []byte, o Options) *Document {
	d := &Document{file: file, o: o}
	d.root = Value{document: d, line: 1}
	d.parse(data)
	if root := d.root; !root.Absent() && root.node.Kind != yaml.MappingNode {
		root.Fault("want keys and their values such as %s, found %s", o.Example, root.found())
		d.root.node, d.root.moot = nil, true
	}
	return d
}

// Root returns the mapping that is the document. If data was no such thing it is
// absent; why is among the faults.
func (d *Document) Root() Value { return d.root }

// parse finds the root.
func (d *Document) parse(data []byte) {
	if line, msg := unreadable(data); line > 0 {
		d.add(line, 0, "", msg)
		return
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	err := decoder.Decode(&first)
	switch {
	case errors.Is(err, io.EOF), err == nil && isNull(first.Content[0]):
		d.root.Fault("the file is empty; want at least %s", d.o.Want)
		return
	case err != nil:
		d.syntaxFault(err, data)
		return
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		d.add(second.Line, second.Column, "", `a second document starts here and would not be read; remove the line "---"`)
	case !errors.Is(err, io.EOF):
		d.syntaxFault(err, data)
	}
	d.root.node = first.Content[0]
}

// unreadable returns the line of the first byte that YAML does not allow, or 0.
func unreadable(data []byte) (line int, msg string) {
	line = 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return line, "not UTF-8 text; save the file as UTF-8"
		case r == '\n':
			line++
		case unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\u0085':
			return line, fmt.Sprintf("holds the control character %q; remove it", r)
		}
		i += size
	}
	return 0, ""
}

var (
	syntaxError   = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxFault records err, which says that data is not YAML.
func (d *Document) syntaxFault(err error, data []byte) {
	line, msg := 1, err.Error()
	if m := syntaxError.FindStringSubmatch(msg); m != nil {
		msg = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	if m := unknownAnchor.FindStringSubmatch(msg); m != nil {
		if before, _, ok := bytes.Cut(data, []byte("*"+m[1])); ok {
			line = 1 + bytes.Count(before, []byte("\n"))
		}
		d.add(line, 0, "", fmt.Sprintf("*%s refers to nothing; define &%s before it, or put the text in quotes", m[1], m[1]))
		return
	}
	d.add(line, 0, "", fmt.Sprintf("not YAML: %s; look at indentation, quotes and brackets, here and in the line before", msg))
}
