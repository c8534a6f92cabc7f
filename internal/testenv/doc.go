// Package testenv starts real servers for tests: a broker, a database, our own
// command. Each listens on a free loopback port, keeps its files in the test's
// folder, answers before it is returned, and is gone when the test ends.
//
//	broker := testenv.Mosquitto(t)
//	db := testenv.InfluxDB(t, testenv.WithDatabase("water"))
//	…
//	db.Kill() // a fault
//	…
//	db.Start() // same address, same data
//
// A program that is missing skips the test, and says which command installs
// it. Where CI is set the test fails instead, so that nothing is skipped unseen.
//
// Whatever takes a [testing.TB] fails that test by itself, and like the
// methods Start, Stop and Kill is called from the test's own goroutine.
package testenv
