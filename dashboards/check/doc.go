// Package check tests the dashboards without a Grafana: that every query parses and
// names only what is written and exported, and that it gives an answer by a whole
// site with half a month behind it.
//
// It is a module of its own, since the parsers of InfluxQL and PromQL bring much
// that the ingester has no use for.
package check
