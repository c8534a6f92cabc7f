// Package stack runs everything that a site consists of on this machine, each as a
// program of its own on a loopback port: Mosquitto, InfluxDB, Prometheus,
// Alertmanager, the ingester, and Grafana where there is one. A simulated district
// publishes into it, with a past, so that there is something to look at.
//
// The configuration of all of them is what "tofuwatch render" writes, so that
// looking at it is a test of that, too.
package stack
