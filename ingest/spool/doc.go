// Package spool keeps what was received until InfluxDB has it: the durable
// queue between the acknowledgement of a message and the database, and the dead
// letters beside it.
//
//	Append --> committer --fsync--> segments --> Next --> (InfluxDB) --> Done --> cursor
//	               |                                                       |
//	               +--------------> dead letters <------- refused ---------+
//
// What it promises:
//   - Append calls back without an error only after an fsync.
//   - One fsync serves every outcome that arrived during the one before it.
//   - A record that was cut short by a crash is cut off when the spool is
//     opened. A damaged record in the middle costs itself only: its bytes are
//     set aside in a file, it becomes a dead letter, and reading goes on at the
//     next record that is whole.
//   - A full disk refuses what is new. It harms nothing that is old, and the
//     spool works again as soon as there is room.
//   - Nothing expires, and nothing old makes room for something new.
//
// The libraries that come near do not do all of this; the folder alternatives
// holds the experiment.
package spool
