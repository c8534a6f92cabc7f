package ingest

import (
	"bytes"
	"time"

	"tofuwatch/internal/water"
)

// A Batch is the oldest pending points of a spool, on their way to InfluxDB.
type Batch struct {
	Lines    []byte // points, each ended by a newline
	Points   int
	Readings uint64        // in all points
	Records  []BatchRecord // where the lines come from, in their order
	End      uint64        // the spool's position behind the batch
}

// A BatchRecord is what a spool knows of some neighbouring lines of a batch.
type BatchRecord struct {
	Offset   int    // of its first line in Lines
	Position uint64 // of that line in the spool
	Topic    string // of the message that the lines were made of
	Received time.Time
	// Corrections says that the lines are no readings, but correct some.
	Corrections bool
}

// A Refusal is a dead letter for readings that InfluxDB refuses.
type Refusal struct {
	Letter DeadLetter
	Origin uint64 // where the readings stand in the spool
}

// Refuse makes a dead letter of point, which holds n readings that start at
// offset in b.Lines; corrections count for none. Refusals must be made in the
// order of their offsets.
func (b *Batch) Refuse(offset int, point []byte, n int, detail string) Refusal {
	i := len(b.Records) - 1
	for b.Records[i].Offset > offset {
		i--
	}
	r := b.Records[i]
	if r.Corrections {
		n = 0
	}
	return Refusal{
		Origin: r.Position + uint64(offset-r.Offset),
		Letter: DeadLetter{
			Received: r.Received, Topic: r.Topic, Payload: bytes.Clone(point),
			Reason: water.Refused, Detail: detail, Readings: n,
		},
	}
}
