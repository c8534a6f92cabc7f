package ingest

import "time"

// A Message is what a station published, untouched.
type Message struct {
	Topic    string
	Payload  []byte    // must not be changed; valid until Ack is called
	Received time.Time // when the broker handed it to us, UTC
	// Duplicate says that the broker may have handed it to us before, Retained
	// that it kept it for whoever comes.
	Duplicate, Retained bool
	Ack                 func() // tells the broker to forget it; called at most once
}
