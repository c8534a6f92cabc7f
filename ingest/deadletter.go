package ingest

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"tofuwatch/internal/water"
)

// A DeadLetter is a message, or a part of one, that could not be used. It is
// kept until somebody has looked at it and, after a fix, sent it through again.
type DeadLetter struct {
	ID       uint64       // given by the store, in the order of arrival, from 1
	Received time.Time    // when the broker handed the message to us, UTC
	Topic    string       // as published
	Payload  []byte       // the whole message, or its first MaxKept bytes; for water.Refused the point as it was written
	Reason   water.Reason // why it could not be used
	Detail   string       // which value, and what would have been right; printable
	Readings int          // how many readings are lost by it; 0 only for a refused point that holds none
}

// MaxKept is how much of an oversized payload a dead letter keeps, in bytes.
const MaxKept = 64 << 10

// deadLetterJSON is a DeadLetter as people and programs read it.
type deadLetterJSON struct {
	ID       uint64       `json:"id"`
	Received time.Time    `json:"received"`
	Topic    string       `json:"topic,omitempty"`
	Payload  string       `json:"payload,omitempty"`
	Binary   []byte       `json:"payload_base64,omitempty"` // instead of Payload where that is no UTF-8
	Reason   water.Reason `json:"reason"`
	Detail   string       `json:"detail"`
	Readings int          `json:"readings"`
}

// MarshalJSON writes the payload as text, or as base64 where it is no UTF-8.
func (l DeadLetter) MarshalJSON() ([]byte, error) {
	j := deadLetterJSON{l.ID, l.Received, l.Topic, "", nil, l.Reason, l.Detail, l.Readings}
	if utf8.Valid(l.Payload) {
		j.Payload = string(l.Payload)
	} else {
		j.Binary = l.Payload
	}
	return json.Marshal(j)
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (l *DeadLetter) UnmarshalJSON(data []byte) error {
	var j deadLetterJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*l = DeadLetter{j.ID, j.Received, j.Topic, []byte(j.Payload), j.Reason, j.Detail, j.Readings}
	if j.Binary != nil {
		l.Payload = j.Binary
	}
	return nil
}
