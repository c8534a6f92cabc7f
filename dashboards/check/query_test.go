package check

import (
	"fmt"
	"strings"
	"time"

	"tofuwatch/dashboards"
)

// A view is what a person has chosen in a dashboard.
type view struct {
	from, to time.Time
	vars     map[string][]string // by variable; several, or all
}

// fill returns a query as Grafana would send it.
func (v view) fill(p *dashboards.Panel, query string) string {
	pairs := []string{
		"$timeFilter", fmt.Sprintf("time >= %dms and time <= %dms", v.from.UnixMilli(), v.to.UnixMilli()),
		"$__interval", fmt.Sprintf("%ds", int(v.step(p).Seconds())),
		"$__rate_interval", "60s",
		"$__range", fmt.Sprintf("%ds", int(v.to.Sub(v.from).Seconds())),
	}
	for name, values := range v.vars {
		alternatives := values[0]
		if len(values) > 1 {
			alternatives = "(" + strings.Join(values, "|") + ")"
		}
		for _, form := range []string{"${" + name + ":regex}", "${" + name + "}", "$" + name} {
			pairs = append(pairs, form, alternatives)
		}
	}
	return strings.NewReplacer(pairs...).Replace(query)
}

// step is how far apart Grafana wants points on a wide screen.
func (v view) step(p *dashboards.Panel) time.Duration {
	const points = 800
	least := 15 * time.Second
	if d, err := time.ParseDuration(p.Interval); err == nil {
		least = d
	}
	step := v.to.Sub(v.from) / points
	for _, round := range []time.Duration{15 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour, 24 * time.Hour} {
		if round >= step && round >= least {
			return round
		}
	}
	return 24 * time.Hour
}

// during returns v for a panel that has a time range of its own.
func (v view) during(p *dashboards.Panel) view {
	if p.TimeFrom != "" {
		v.from = v.to.Add(-period(p.TimeFrom))
	}
	return v
}

// period reads what Grafana writes as 4h or 90d.
func period(text string) time.Duration {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		text = days + "h"
		d, _ := time.ParseDuration(text)
		return 24 * d
	}
	d, _ := time.ParseDuration(text)
	return d
}

// start returns the beginning of a dashboard's default time range.
func start(d *dashboards.Dashboard, now time.Time) time.Time {
	zone, err := time.LoadLocation(d.Timezone)
	if err != nil {
		zone = time.UTC
	}
	switch d.Time.From {
	case "now/M":
		return time.Date(now.In(zone).Year(), now.In(zone).Month(), 1, 0, 0, 0, 0, zone)
	default:
		return now.Add(-period(strings.TrimPrefix(d.Time.From, "now-")))
	}
}

// A query is one of a panel, of a variable or of an annotation.
type query struct {
	where string // "id/river: River map, A"
	panel *dashboards.Panel
	refID string
	promQL,
	influxQL string // one of both
	instant bool
}

// queries returns all of a dashboard. Those of variables are without Grafana's own
// functions around them.
func queries(name, lang string, d *dashboards.Dashboard) []query {
	var all []query
	where := func(what string) string { return lang + "/" + name + ": " + what }
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			all = append(all, query{where(p.Title + ", " + t.RefID), p, t.RefID, t.Expr, t.Query, t.Instant})
		}
	}
	none := new(dashboards.Panel)
	for _, v := range d.Templating.List {
		if v.Datasource.Type == "influxdb" {
			all = append(all, query{where: where("$" + v.Name), panel: none, refID: "$" + v.Name, influxQL: v.Definition})
			continue
		}
		expr := v.Definition
		if inner, ok := strings.CutPrefix(expr, "query_result("); ok {
			expr = strings.TrimSuffix(inner, ")")
		} else if inner, ok := strings.CutPrefix(expr, "label_values("); ok {
			expr = inner[:strings.LastIndex(inner, ",")]
		}
		all = append(all, query{where: where("$" + v.Name), panel: none, refID: "$" + v.Name, promQL: expr, instant: true})
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" || a.Query != "" {
			all = append(all, query{where: where("annotation " + a.Name), panel: none, refID: "annotation", promQL: a.Expr, influxQL: a.Query})
		}
	}
	return all
}
