// Package dashboards is what operators watch: Grafana dashboards for a site, and
// what a Grafana needs to show them.
//
//	Input --Files--> one dashboard a question, in each language
//	                 provisioning of data sources and folders
//	                 the environment that points Grafana there
//
// A dashboard shows what was measured, how old that is, and what is not known. It
// has no rules of its own: limits, alerts and summaries come from Prometheus and
// InfluxDB as the ingester and the rules made them. Queries are PromQL and
// InfluxQL, the one language that InfluxDB 1.x, 2.x and 3.x share.
//
// The dashboards in the folder generated are those of the stations that "tofuwatch
// simulate" plays; "tofuwatch render dashboards" writes those of a site.
package dashboards
