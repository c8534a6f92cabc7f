// Package bench measures "tofuwatch ingest" beside Telegraf, on the same broker,
// database and messages. "make bench" runs it and prints the table; there is
// nothing else here.
package bench
