package strict

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A bridge is what the files of these tests describe.
type bridge struct {
	Name   string
	Length float64
	Low    float64
	High   float64
	Open   bool
	Rivers []string
}

// read reads a bridge, or says what is wrong with data.
func read(data string) (bridge, error) {
	d := Parse("bridge.yaml", []byte(data), Options{
		Want: "name and length", Example: "name: Bajak",
		Unknown: func(path string, _ []string) string {
			if path == "toll" {
				return "there is no toll"
			}
			return ""
		},
	})
	var b bridge
	s := d.Root().Section("name", "length", "load", "open", "rivers")
	Text(s.Key("name").Required("what people call it"), &b.Name, "text", Printable)
	s.Key("length").Required("in metres").NumberWithin(&b.Length, 1, 1000)
	s.Key("load").Span(&b.Low, &b.High)
	s.Key("open").Bool(&b.Open)
	b.Rivers = Texts(s.Key("rivers").ItemsOrOne(), OneOf("river", "bajak", "garang"))
	if fs := d.Faults(); fs != nil {
		return bridge{}, fs
	}
	return b, nil
}

func TestReads(t *testing.T) {
	got, err := read("name: Jembatan\nlength: 12.5\nload: [1, 20]\nopen: true\nrivers: [garang, bajak]\n")
	if err != nil {
		t.Fatal(err)
	}
	want := bridge{"Jembatan", 12.5, 1, 20, true, []string{"garang", "bajak"}}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("bridge (-got +want):\n%s", diff)
	}
}

// Every fault of a file is told, in its order; of what only follows from another
// fault nothing is.
func TestFaults(t *testing.T) {
	for name, test := range map[string]struct{ data, want string }{
		"nothing":    {"# a comment\n", "bridge.yaml:1: the file is empty; want at least name and length"},
		"no mapping": {"- name\n", "bridge.yaml:1: want keys and their values such as name: Bajak, found a list"},
		"not YAML":   {"name: [\n", "bridge.yaml:1: not YAML: did not find expected node content; look at indentation, quotes and brackets, here and in the line before"},
		"all at once": {
			"length: 010\ntoll: 5\nopen: si\nrivers: [bajak, bajak, kali]\nload: [20, 1]\n",
			`bridge.yaml:1: name: required, what people call it
bridge.yaml:1: length: cannot tell which number "010" is; write it like 7, -9999, 0.25 or 1e6
bridge.yaml:2: toll: unknown key; there is no toll
bridge.yaml:3: open: want true or false, found text
bridge.yaml:4: rivers[1]: "bajak" is given twice; remove one
bridge.yaml:4: rivers[2]: no river "kali"; have bajak, garang
bridge.yaml:5: load: [20, 1] is empty; want [low, high], low first`,
		},
		"misspelt, and so not missing": {
			"nam: Bajak\nlength: 2000\n",
			"bridge.yaml:1: nam: unknown key; have name, length, load, open, rivers\nbridge.yaml:2: length: 2000 is out of range; want 1 to 1000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(test.data)
			faults, ok := errors.AsType[Faults](err)
			if !ok {
				t.Fatalf("error %v is a %T, want Faults", err, err)
			}
			if diff := cmp.Diff(faults.Error(), test.want); diff != "" {
				t.Errorf("faults (-got +want):\n%s", diff)
			}
		})
	}
}
