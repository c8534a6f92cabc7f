package ingest

import "time"

// A Message is what a station published, untouched.
type Message struct {
	Topic    string
	Payload  []byte    // must not be changed; valid until Ack is called
	Received time.Time // when the broker handed it to us, UTC
	Retained bool      // the broker had kept it: Received says nothing of when it was sent
	Ack      func()    // tells the broker to forget it; called at most once
}
