package ingest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tofuwatch/internal/water"
)

func TestDeadLetterAsJSON(t *testing.T) {
	for name, test := range map[string]struct {
		payload string
		want    string // how the payload is written
	}{
		"text":                  {`{"cod":"<2 & >1"}`, `"payload":"{\"cod\":\"\u003c2 \u0026 \u003e1\"}"`},
		"text in any script":    {"tahu 豆腐 \u2028 \x00 \r\n", `"payload":"tahu 豆腐 \u2028 \u0000 \r\n"`},
		"replacement character": {"\uFFFD", `"payload":"` + "\uFFFD" + `"`},
		"no UTF-8":              {"\xff\xfe\x00{", `"payload_base64":"//4Aew=="`},
		"cut in a character":    {"豆腐"[:4], `"payload_base64":"6LGG6A=="`},
		"nothing":               {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			letter := DeadLetter{
				ID: 7, Received: received, Topic: "tofu/ipal-01/readings", Payload: []byte(test.payload),
				Reason: water.Malformed, Detail: `want "JSON"`, Readings: 3,
			}
			text, err := json.Marshal(letter)
			if err != nil {
				t.Fatal(err)
			}
			head := `{"id":7,"received":"2026-11-23T07:00:30Z","topic":"tofu/ipal-01/readings",`
			tail := `"reason":"malformed","detail":"want \"JSON\"","readings":3}`
			want := head + test.want + "," + tail
			if test.want == "" {
				want = head + tail
			}
			if diff := cmp.Diff(string(text), want); diff != "" {
				t.Errorf("JSON (-got +want):\n%s", diff)
			}
			var back DeadLetter
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(back, letter, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("read back (-got +want):\n%s", diff)
			}
		})
	}
}

func TestDeadLetterOfBadJSON(t *testing.T) {
	var l DeadLetter
	for _, text := range []string{`{`, `{"id":"seven"}`, `{"payload_base64":"?"}`} {
		if err := json.Unmarshal([]byte(text), &l); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}

func TestRefuse(t *testing.T) {
	b := &Batch{
		Lines: []byte("one 1\ntwo 2\nthree 3\n"),
		Records: []BatchRecord{
			{Offset: 0, Position: 100, Topic: "a", Received: received},
			{Offset: 12, Position: 500, Topic: "b", Received: sampled},
		},
	}
	point := []byte("two 2\n")
	for offset, want := range map[int]Refusal{
		0:  {DeadLetter{Received: received, Topic: "a"}, 100},
		6:  {DeadLetter{Received: received, Topic: "a"}, 106},
		12: {DeadLetter{Received: sampled, Topic: "b"}, 500},
		15: {DeadLetter{Received: sampled, Topic: "b"}, 503},
	} {
		want.Letter.Payload, want.Letter.Reason, want.Letter.Detail, want.Letter.Readings = []byte("two 2\n"), water.Refused, "no", 2
		got := b.Refuse(offset, point, 2, "no")
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("at %d (-got +want):\n%s", offset, diff)
		}
	}
	letter := b.Refuse(0, point, 1, "no").Letter
	copy(point, strings.ToUpper(string(point)))
	if got := string(letter.Payload); got != "two 2\n" {
		t.Errorf("payload is %q after the caller changed its own, want %q", got, "two 2\n")
	}
}
