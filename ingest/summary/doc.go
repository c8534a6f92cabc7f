// Package summary makes hours, days and months of what was measured: means with
// their number of values, loads, removal, and how often a limit was kept.
//
//	writer --stored lines--> marks --> hours --> days --> months
//	                           ^         |         |
//	                           |      InfluxDB (read the span, write its summary)
//	                         a clock, for hours in which nothing came
//
// A span is never updated: it is made anew from what InfluxDB holds of it. So it
// does not matter whether a value came in time or a week late, came twice, or was
// given another flag afterwards. Which spans have to be made anew is remembered
// in a file of marks, on disk before the spool lets go of the readings, so that
// a crash leaves none behind.
//
// This is the ingester's work because nothing else is at hand everywhere:
// continuous queries are InfluxDB 1.x only and never look back at late data, tasks
// are 2.x only and Flux, and neither knows limits, their dates or flags.
package summary
