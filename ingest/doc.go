// Package ingest is the path of a message from the broker to the disk.
//
//	mqtt --Message--> payload --[]Reading--> quality --[]Observation--+--> spool --> influx
//	                     |                                            |
//	                     +-----------------> dead letters             +--> alerts
//
// This package holds the pipeline: which step follows which, and when a message
// may be acknowledged. It opens no file and no connection; the packages below
// it do, and never import each other.
package ingest
