package strict

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// A Value is one place in a file, which may hold nothing.
type Value struct {
	document     *Document
	path         string
	line, column int        // of its key, or of the item of a list; of what should hold it, if it is absent
	node         *yaml.Node // never an alias; nil if the key is absent
	moot         bool       // what should hold it has a fault: nothing is told of v itself
}

// Path returns where v is, such as "stations[1].kind".
func (v Value) Path() string { return v.path }

// Line returns the line of v, 1-based; where v is absent, of what should hold it.
func (v Value) Line() int { return v.line }

// Written returns what the file has in the place of v, unread; "" for what is
// absent, a list or a mapping.
func (v Value) Written() string {
	if v.Absent() {
		return ""
	}
	return v.node.Value
}

// Fault records what is wrong with v, and what would be right.
func (v Value) Fault(format string, args ...any) {
	if !v.moot {
		v.document.add(v.line, v.column, v.path, fmt.Sprintf(format, args...))
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// follow returns the node that n stands for.
func follow(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// Absent reports whether the file does not have v.
func (v Value) Absent() bool { return v.node == nil }

// Null reports whether v is there without a value, as in "ph:" and "ph: null".
func (v Value) Null() bool { return !v.Absent() && isNull(v.node) }

// IsList reports whether v is a list, which may be empty.
func (v Value) IsList() bool { return !v.Absent() && v.node.Kind == yaml.SequenceNode }

// IsMapping reports whether v is a mapping, which may be empty.
func (v Value) IsMapping() bool { return !v.Absent() && v.node.Kind == yaml.MappingNode }

// Required records a fault if v is absent or empty; hint says what it would be.
func (v Value) Required(hint string) Value {
	if v.Absent() || isNull(v.node) {
		v.Fault("required, %s", hint)
		v.node, v.moot = nil, true
	}
	return v
}

// Given reports whether v is there and has a value. That it has none is told.
func (v Value) Given() bool {
	if v.Absent() {
		return false
	}
	if isNull(v.node) {
		v.Fault("has no value; give it one, or leave it out")
		return false
	}
	return true
}

// found says in words what v is.
func (v Value) found() string {
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
	return "a value tagged " + Quote(v.node.Tag)
}

// An Entry is one key of a mapping and what it holds.
type Entry struct {
	Name string // the key
	Value
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// child returns the value of key in v, at node's place.
func (v Value) child(key string, at, node *yaml.Node) Value {
	c := Value{document: v.document, path: key, line: v.line, column: v.column, node: node, moot: v.moot}
	if at != nil {
		c.line, c.column = at.Line, at.Column
	}
	if !plainKey.MatchString(key) {
		c.path = Quote(key)
	}
	if v.path != "" {
		c.path = v.path + "." + c.path
	}
	return c
}

// Entries returns the keys of the mapping v in the order of the file, each once.
func (v Value) Entries() []Entry {
	if !v.Given() {
		return nil
	}
	if v.node.Kind != yaml.MappingNode {
		v.Fault("want keys and their values, found %s", v.found())
		return nil
	}
	var entries []Entry
	lines := make(map[string]int)
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		at := v.node.Content[i]
		key := follow(at)
		if key.Kind != yaml.ScalarNode {
			v.document.add(at.Line, at.Column, v.path, "a key must be a word, found a list or a mapping")
			continue
		}
		c := v.child(key.Value, at, follow(v.node.Content[i+1]))
		first, twice := lines[key.Value]
		switch {
		case key.Tag == "!!merge":
			c.Fault("merging is not supported; write the keys out")
		case twice:
			c.Fault("given twice, first in line %d; remove one", first)
		default:
			lines[key.Value] = at.Line
			entries = append(entries, Entry{key.Value, c})
		}
	}
	return entries
}

// A Section is a mapping whose keys are known.
type Section struct {
	Value
	entries  []Entry
	misspelt []string // absent keys that an unknown one probably means
}

// Section reads v as a mapping of these keys. Any other key is a fault.
func (v Value) Section(keys ...string) Section {
	s := Section{Value: v, entries: v.Entries()}
	s.moot = v.moot || !v.IsMapping()
	for _, e := range s.entries {
		if slices.Contains(keys, e.Name) {
			continue
		}
		if unknown := v.document.o.Unknown; unknown != nil {
			if msg := unknown(e.path, keys); msg != "" {
				e.Fault("unknown key; %s", msg)
				continue
			}
		}
		e.Fault("unknown key; %s", Have(e.Name, keys))
		s.misspelt = append(s.misspelt, nearest(e.Name, keys))
	}
	return s
}

// Key returns what s has under key: an absent value if it has nothing, of which
// nothing is told if the key is there, but misspelt.
func (s Section) Key(key string) Value {
	for _, e := range s.entries {
		if e.Name == key {
			return e.Value
		}
	}
	c := s.child(key, nil, nil)
	c.moot = c.moot || slices.Contains(s.misspelt, key)
	return c
}

// Items returns the items of the list v.
func (v Value) Items() []Value {
	if !v.Given() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.Fault("want a list, found %s", v.found())
		return nil
	}
	items := make([]Value, len(v.node.Content))
	for i, n := range v.node.Content {
		items[i] = Value{v.document, fmt.Sprintf("%s[%d]", v.path, i), n.Line, n.Column, follow(n), false}
	}
	return items
}

// ItemsOrOne returns the items of the list v, or v alone if it is no list.
func (v Value) ItemsOrOne() []Value {
	if v.Absent() || v.IsList() {
		return v.Items()
	}
	return []Value{v}
}

// Text reads v with parse, into dst. It leaves dst alone and returns false if v
// is absent or has a fault; want says what v should be.
func Text[T any](v Value, dst *T, want string, parse func(string) (T, error)) bool {
	return scalar(v, dst, want, parse, "!!str")
}

// Moment reads v as Text does, also where YAML takes it for a date: people write
// times without quotes.
func Moment[T any](v Value, dst *T, want string, parse func(string) (T, error)) bool {
	return scalar(v, dst, want, parse, "!!str", "!!timestamp")
}

// scalar reads v, which must have one of the tags.
func scalar[T any](v Value, dst *T, want string, parse func(string) (T, error), tags ...string) bool {
	if !v.Given() {
		return false
	}
	if v.node.Kind != yaml.ScalarNode || !slices.Contains(tags, v.node.Tag) {
		hint := ""
		if v.node.Kind == yaml.ScalarNode && want == "text" {
			hint = "; put it in quotes"
		}
		v.Fault("want %s, found %s%s", want, v.found(), hint)
		return false
	}
	got, err := parse(v.node.Value)
	if err != nil {
		v.Fault("%v", err)
		return false
	}
	*dst = got
	return true
}

// numberPattern is how JSON writes numbers: not YAML's 010, 0x10, 1_000 or .inf.
var numberPattern = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// Number reads v, a finite number, into dst, as Text does.
func (v Value) Number(dst *float64) bool {
	if !v.Given() {
		return false
	}
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!int" && v.node.Tag != "!!float" {
		v.Fault("want a number, found %s", v.found())
		return false
	}
	if !numberPattern.MatchString(v.node.Value) {
		v.Fault("cannot tell which number %s is; write it like 7, -9999, 0.25 or 1e6", Quote(v.node.Value))
		return false
	}
	f, err := strconv.ParseFloat(v.node.Value, 64)
	if err != nil {
		v.Fault("%s is too large", Quote(v.node.Value))
		return false
	}
	*dst = f
	return true
}

// NumberWithin reads v as Number does; it must not lie outside low and high.
func (v Value) NumberWithin(dst *float64, low, high float64) bool {
	var f float64
	if !v.Number(&f) {
		return false
	}
	if f < low || f > high {
		v.Fault("%v is out of range; want %v to %v", f, low, high)
		return false
	}
	*dst = f
	return true
}

// Bool reads v, true or false, into dst, as Text does.
func (v Value) Bool(dst *bool) bool {
	if !v.Given() {
		return false
	}
	if v.node.Kind != yaml.ScalarNode || v.node.Tag != "!!bool" {
		v.Fault("want true or false, found %s", v.found())
		return false
	}
	b, err := strconv.ParseBool(v.node.Value)
	if err != nil { // text that the file tags !!bool
		v.Fault("%s is neither true nor false", Quote(v.node.Value))
		return false
	}
	*dst = b
	return true
}

// Span reads v, a list [low, high] of numbers, as Text does.
func (v Value) Span(low, high *float64) bool {
	items := v.Items()
	if !v.IsList() {
		return false
	}
	if len(items) != 2 {
		v.Fault("want two numbers, [low, high], found a list of %d", len(items))
		return false
	}
	var a, b float64
	ok := items[0].Number(&a)
	if !items[1].Number(&b) || !ok {
		return false
	}
	if a >= b {
		v.Fault("[%v, %v] is empty; want [low, high], low first", a, b)
		return false
	}
	*low, *high = a, b
	return true
}

// Texts reads each of items with parse. None may stand there twice.
func Texts(items []Value, parse func(string) (string, error)) []string {
	var got []string
	for _, item := range items {
		var s string
		switch {
		case !Text(item, &s, "text", parse):
		case slices.Contains(got, s):
			item.Fault("%s is given twice; remove one", Quote(s))
		default:
			got = append(got, s)
		}
	}
	return got
}
