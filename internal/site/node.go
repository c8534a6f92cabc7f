package site

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A value is one place in a site file. The YAML library's own decoding is not
// used: it speaks of Go types, stops at the first duplicate key, and takes 010
// for 8.
type value struct {
	faults       *collector
	path         string
	line, column int        // of its key, or of the item of a list; of what should hold it, if it is absent
	node         *yaml.Node // never an alias; nil if the key is absent
	moot         bool       // what should hold it has a fault: nothing is told of v itself
}

// fault records what is wrong with v, and what would be right.
func (v value) fault(format string, args ...any) {
	if !v.moot {
		v.faults.add(v.line, v.column, v.path, fmt.Sprintf(format, args...))
	}
}

// document returns the root of the one YAML document in data. It is absent if
// data is no such thing; why is told to faults.
func document(data []byte, faults *collector) value {
	root := value{faults: faults, line: 1}
	if line, msg := unreadable(data); line > 0 {
		faults.add(line, 0, "", msg)
		return root
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	err := decoder.Decode(&first)
	switch {
	case errors.Is(err, io.EOF), err == nil && isNull(first.Content[0]):
		root.fault("the file is empty; want at least site, mqtt, influxdb and stations")
		return root
	case err != nil:
		syntaxFault(err, data, faults)
		return root
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		faults.add(second.Line, second.Column, "", `a second document starts here and would not be read; remove the line "---"`)
	case !errors.Is(err, io.EOF):
		syntaxFault(err, data, faults)
	}
	root.node = first.Content[0]
	return root
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
func syntaxFault(err error, data []byte, faults *collector) {
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
		faults.add(line, 0, "", fmt.Sprintf("*%s refers to nothing; define &%s before it, or put the text in quotes", m[1], m[1]))
		return
	}
	faults.add(line, 0, "", fmt.Sprintf("not YAML: %s; look at indentation, quotes and brackets, here and in the line before", msg))
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// follow returns the node that n stands for.
func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// absent reports whether the file does not have v.
func (v value) absent() bool { return v.node == nil }

// required records a fault if v is absent or empty; hint says what it would be.
func (v value) required(hint string) value {
	if v.absent() || isNull(v.node) {
		v.fault("required, %s", hint)
		v.node, v.moot = nil, true
	}
	return v
}

// given reports whether v is there and has a value. That it has none is told.
func (v value) given() bool {
	if v.absent() {
		return false
	}
	if isNull(v.node) {
		v.fault("has no value; give it one, or leave it out")
		return false
	}
	return true
}

// found says in words what v is.
func (v value) found() string {
	switch v.node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch v.node.Tag {
	case "!!null":
		return "nothing"
	case "!!str":
		return "text"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return "a value tagged " + quote(v.node.Tag)
}

// An entry is one key of a mapping and what it holds.
type entry struct {
	key string
	value
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// child returns the value of key in v, at node's place.
func (v value) child(key string, at, node *yaml.Node) value {
	c := value{faults: v.faults, path: key, line: v.line, column: v.column, node: node, moot: v.moot}
	if at != nil {
		c.line, c.column = at.Line, at.Column
	}
	if !plainKey.MatchString(key) {
		c.path = quote(key)
	}
	if v.path != "" {
		c.path = v.path + "." + c.path
	}
	return c
}

// entries returns the keys of the mapping v in the order of the file, each once.
func (v value) entries() []entry {
	if !v.given() {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.fault("want keys and their values, found %s", v.found())
		return nil
	}
	var entries []entry
	lines := make(map[string]int)
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		at := v.node.Content[i]
		key := follow(at)
		if key.Kind != yaml.ScalarNode {
			v.faults.add(at.Line, at.Column, v.path, "a key must be a word, found a list or a mapping")
			continue
		}
		c := v.child(key.Value, at, follow(v.node.Content[i+1]))
		first, twice := lines[key.Value]
		switch {
		case key.Tag == "!!merge":
			c.fault("merging is not supported; write the keys out")
		case twice:
			c.fault("given twice, first in line %d; remove one", first)
		default:
			lines[key.Value] = at.Line
			entries = append(entries, entry{key.Value, c})
		}
	}
	return entries
}

// A section is a mapping whose keys are known.
type section struct {
	value
	entries  []entry
	misspelt []string // absent keys that an unknown one probably means
}

// section reads v as a mapping of these keys. Any other key is a fault.
func (v value) section(keys ...string) section {
	s := section{value: v, entries: v.entries()}
	s.moot = v.moot || v.absent() || v.node.Kind != yaml.MappingNode
	for _, e := range s.entries {
		if slices.Contains(keys, e.key) {
			continue
		}
		if file := e.key + "_file"; slices.Contains(keys, file) {
			e.fault("unknown key; a secret does not belong into this file: write it into one of its own and name that with %s, or set %s",
				file, secretVariables[v.child(file, nil, nil).path])
			continue
		}
		e.fault("unknown key; %s", have(e.key, keys))
		s.misspelt = append(s.misspelt, nearest(e.key, keys))
	}
	return s
}

// key returns what s has under key: an absent value if it has nothing, of which
// nothing is told if the key is there, but misspelt.
func (s section) key(key string) value {
	for _, e := range s.entries {
		if e.key == key {
			return e.value
		}
	}
	c := s.child(key, nil, nil)
	c.moot = c.moot || slices.Contains(s.misspelt, key)
	return c
}

// items returns the items of the list v.
func (v value) items() []value {
	if !v.given() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.fault("want a list, found %s", v.found())
		return nil
	}
	items := make([]value, len(v.node.Content))
	for i, n := range v.node.Content {
		items[i] = value{v.faults, fmt.Sprintf("%s[%d]", v.path, i), n.Line, n.Column, follow(n), false}
	}
	return items
}

// itemsOrOne returns the items of the list v, or v alone if it is no list.
func (v value) itemsOrOne() []value {
	if v.absent() || v.node.Kind == yaml.SequenceNode {
		return v.items()
	}
	return []value{v}
}

// text reads v with parse, into dst. It leaves dst alone and returns false if v
// is absent or has a fault; want says what v should be.
func text[T any](v value, dst *T, want string, parse func(string) (T, error)) bool {
	if !v.given() {
		return false
	}
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!str" {
		hint := ""
		if v.node.Kind == yaml.ScalarNode && want == "text" {
			hint = "; put it in quotes"
		}
		v.fault("want %s, found %s%s", want, v.found(), hint)
		return false
	}
	got, err := parse(v.node.Value)
	if err != nil {
		v.fault("%v", err)
		return false
	}
	*dst = got
	return true
}

// numberPattern is how JSON writes numbers: not YAML's 010, 0x10, 1_000 or .inf.
var numberPattern = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// number reads v, a finite number, into dst, as text does.
func (v value) number(dst *float64) bool {
	if !v.given() {
		return false
	}
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!int" && v.node.Tag != "!!float" {
		v.fault("want a number, found %s", v.found())
		return false
	}
	if !numberPattern.MatchString(v.node.Value) {
		v.fault("cannot tell which number %s is; write it like 7, -9999, 0.25 or 1e6", quote(v.node.Value))
		return false
	}
	f, err := strconv.ParseFloat(v.node.Value, 64)
	if err != nil {
		v.fault("%s is too large", quote(v.node.Value))
		return false
	}
	*dst = f
	return true
}

// numberWithin reads v as number does; it must not lie outside low and high.
func (v value) numberWithin(dst *float64, low, high float64) bool {
	var f float64
	if !v.number(&f) {
		return false
	}
	if f < low || f > high {
		v.fault("%v is out of range; want %v to %v", f, low, high)
		return false
	}
	*dst = f
	return true
}

// boolean reads v, true or false, into dst, and leaves dst alone as text does.
func (v value) boolean(dst *bool) {
	if !v.given() {
		return
	}
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!bool" {
		v.fault("want true or false, found %s", v.found())
		return
	}
	b, err := strconv.ParseBool(v.node.Value)
	if err != nil { // text that the file tags !!bool
		v.fault("%s is neither true nor false", quote(v.node.Value))
		return
	}
	*dst = b
}

// span reads v, a list [low, high] of numbers, as text does.
func (v value) span(low, high *float64) bool {
	items := v.items()
	if v.absent() || v.node.Kind != yaml.SequenceNode {
		return false
	}
	if len(items) != 2 {
		v.fault("want two numbers, [low, high], found a list of %d", len(items))
		return false
	}
	var a, b float64
	ok := items[0].number(&a)
	if !items[1].number(&b) || !ok {
		return false
	}
	if a >= b {
		v.fault("[%v, %v] is empty; want [low, high], low first", a, b)
		return false
	}
	*low, *high = a, b
	return true
}
