// Package ingest is the path of a message from the broker to the disk.
//
//	mqtt --Message--> payload --[]Reading--> quality --[]Observation--+--> spool --> influx
//	                     |                                            |
//	                     +-----------------> dead letters             +--> alerts
//
// Beside it, care knows when people work on sensors: what those say then is not
// about the water.
//
// This package holds the pipeline: which step follows which, and when a message
// may be acknowledged. It opens no file and no connection; the packages below
// it do, and never import each other.
package ingest
