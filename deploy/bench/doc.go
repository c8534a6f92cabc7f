// Package bench measures "tofuwatch ingest" beside Telegraf, on the same broker,
// database and messages, and how soon an emergency is mailed. "make bench" runs it
// and prints the tables; there is nothing else here.
package bench
