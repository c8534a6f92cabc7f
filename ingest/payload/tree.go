package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"tofuwatch/internal/water"
)

// A node is a value of a message: JSON, or what another encoding has in its
// place. All of its methods take a nil node, which has nothing.
type node struct {
	kind     jx.Type // jx.Invalid for what JSON could not hold
	key      []byte  // under which an object has it
	text     []byte  // a string's characters; a number as it is written
	children []node  // of an array or object, in their order; an object may have a key twice
}

// get returns what an object has under a key, spelled so, or nil.
func (n *node) get(key string) *node {
	if n == nil || n.kind != jx.Object {
		return nil
	}
	for i := range n.children {
		if c := &n.children[i]; string(c.key) == key {
			return c
		}
	}
	return nil
}

// first returns what an object has under the first of keys that it has, or nil.
func (n *node) first(keys ...string) *node {
	for _, key := range keys {
		if c := n.get(key); c != nil {
			return c
		}
	}
	return nil
}

// string returns the characters of a string, or "".
func (n *node) string() string {
	if n == nil || n.kind != jx.String {
		return ""
	}
	return string(n.text)
}

// id returns a string, or a number as it is written: ids come as both.
func (n *node) id() string {
	if n != nil && n.kind == jx.Number {
		return string(n.text)
	}
	return n.string()
}

// elements returns those of an array, or nothing.
func (n *node) elements() []node {
	if n == nil || n.kind != jx.Array {
		return nil
	}
	return n.children
}

// deviceOf returns a device of those of ids that are not empty.
func deviceOf(ids ...string) Device {
	var d Device
	for _, id := range ids {
		if id != "" {
			d = append(d, id)
		}
	}
	return d
}

// parse returns what JSON text holds, or why nothing of it can be used.
func parse(text []byte) (*node, error) {
	if !utf8.Valid(text) { // the JSON decoder takes any bytes within strings
		return nil, errUTF8
	}
	dec := jx.DecodeBytes(text)
	if dec.Next() == jx.Invalid {
		if errors.Is(dec.Skip(), io.EOF) {
			return nil, errEmpty
		}
	}
	n := new(node)
	if err := n.read(dec, 1); err != nil {
		return nil, err
	}
	return n, atEnd(dec)
}

// atEnd says why text does not end behind its first value.
func atEnd(dec *jx.Decoder) error {
	// Asking for the kind first keeps Skip from following what may be nested
	// without bound.
	if dec.Next() != jx.Invalid || !errors.Is(dec.Skip(), io.EOF) {
		return errors.New("more text after the value")
	}
	return nil
}

// read fills n with the next value; depth is what an array or object there has.
func (n *node) read(dec *jx.Decoder, depth int) (err error) {
	n.kind = dec.Next()
	if (n.kind == jx.Array || n.kind == jx.Object) && depth > MaxDepth {
		return errTooDeep
	}
	switch n.kind {
	case jx.Number:
		var raw jx.Raw
		raw, err = dec.Raw()
		n.text = bytes.Clone(raw)
		return err
	case jx.String:
		n.text, err = dec.StrAppend(nil)
		return err
	case jx.Array:
		elements, err := dec.ArrIter()
		if err != nil {
			return err
		}
		for elements.Next() {
			n.children = append(n.children, node{})
			if err := n.children[len(n.children)-1].read(dec, depth+1); err != nil {
				return err
			}
		}
		return elements.Err()
	case jx.Object:
		keys, err := dec.ObjIter()
		if err != nil {
			return err
		}
		for keys.Next() {
			n.children = append(n.children, node{key: bytes.Clone(keys.Key())})
			if err := n.children[len(n.children)-1].read(dec, depth+1); err != nil {
				return err
			}
		}
		return keys.Err()
	}
	return dec.Skip()
}

// records reads JSON text: an object, or an array of objects, each of which is
// handed to read. Want says what such an object is, and words what there may be
// to say if no reading is found.
func (c *Decoder) records(d *Decoded, payload []byte, want string, read func(s *sample, record *node), words string) {
	text := bytes.TrimPrefix(payload, byteOrderMark)
	root, err := parse(text)
	if err != nil {
		d.Faults = append(d.Faults, refusal(err, text, want))
		return
	}
	c.nodes(d, root, want, read, words)
}

// nodes is records behind the encoding.
func (c *Decoder) nodes(d *Decoded, root *node, want string, read func(s *sample, record *node), words string) {
	s := c.newSample(d)
	defer s.release()
	records := root.elements()
	if root.kind != jx.Array {
		records = []node{*root}
	}
	if len(records) > MaxSamples {
		d.Faults = append(d.Faults, refusal(errTooMany, nil, want))
		return
	}
	for i := range records {
		if root.kind == jx.Array {
			s.number = i + 1
		}
		s.device = nil
		if kind := records[i].kind; kind != jx.Object {
			detail := fmt.Sprintf("%s; want %s", kindWords(kind), want)
			if s.number == 0 {
				detail = "the message is " + detail + orArray
			}
			s.fault(water.Malformed, 1, detail)
			continue
		}
		s.begin()
		read(s, &records[i])
	}
	s.finish(words)
}
