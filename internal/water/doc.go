// Package water holds the words of the field: parameters and their units,
// stations, readings, observations and quality flags.
//
// Types change when trust changes. A [Reading] is one value as a station wrote
// it; an [Observation] is a reading that was judged. The package does no I/O
// and imports the standard library only.
package water
