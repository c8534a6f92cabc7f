// Package care keeps the book of a site's sensors: when people work on them, how
// far they were off at each visit, and what that makes of the readings before.
//
//	site file, notices --> maintenance --> which readings are not about the water
//	notices -------------> visits -------> drift --> corrected readings
//
// Readings are never changed. In a maintenance they are flagged bad; between two
// visits each has a corrected counterpart, of its own method.
package care
