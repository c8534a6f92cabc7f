package dashboards

import "fmt"

// States of a station, the worst one highest. A station of which nothing is known
// is worse off than one that is over a limit as on any other day, and 0 says only
// that nothing was noticed.
const (
	stateQuiet = iota
	stateOver
	stateSilent
	stateUnusual
	stateFarOver
)

// station says what is known of each station now, as one of the states. The rules
// have judged before; nothing is judged here.
func stateExpr(matchers string) string {
	return fmt.Sprintf(`
		count by (station) (tofuwatch:far_over_limit{%[1]s}) * 0 + %[2]d
		or
		count by (station) (ALERTS{alertname=~"SuddenChange|TreatmentUpset", alertstate="firing", %[1]s}) * 0 + %[3]d
		or
		%[4]s * 0 + %[5]d
		or
		count by (station) (tofuwatch:over_limit{%[1]s}) * 0 + %[6]d
		or
		max by (station) (tofuwatch_station_info{%[1]s}) * 0 + %[7]d`,
		matchers, stateFarOver, stateUnusual, silentExpr(matchers), stateSilent, stateOver, stateQuiet)
}

// silentExpr has the stations of which no sensor has reported for longer than
// patience allows, or ever.
func silentExpr(matchers string) string {
	return fmt.Sprintf(`(
		max by (station) (tofuwatch_station_info{%s})
			unless on (station) (tofuwatch:age_seconds <= on (station, parameter) tofuwatch:patience_seconds)
	)`, matchers)
}

// withName adds what the site file says of the stations of a query.
func withName(expr, labels string) string {
	return fmt.Sprintf(`(%s) * on (station) group_left (%s) max by (station, %[2]s) (tofuwatch_station_info)`, expr, labels)
}

// stateTexts are the words and colours of the states. Each has both.
func (k kit) stateTexts() Mapping {
	return values(map[string]MappedText{
		fmt.Sprint(stateQuiet):   {k.t("state_quiet"), blue, 0},
		fmt.Sprint(stateOver):    {k.t("state_over"), orange, 1},
		fmt.Sprint(stateSilent):  {k.t("state_silent"), grey, 2},
		fmt.Sprint(stateUnusual): {k.t("state_unusual"), purple, 3},
		fmt.Sprint(stateFarOver): {k.t("state_far_over"), vermillion, 4},
	})
}

// alertTexts are what the alerts are called.
func (k kit) alertTexts() Mapping {
	texts := make(map[string]MappedText)
	for i, a := range []struct{ name, color string }{
		{"SuddenChange", purple},
		{"TreatmentUpset", purple},
		{"EffluentOverLimit", vermillion},
		{"RiverOverLimit", vermillion},
		{"SensorSilent", grey},
		{"StationOffline", grey},
		{"SensorSuspect", orange},
		{"LateExceedance", orange},
		{"IngesterDown", vermillion},
		{"DatabaseUnavailable", vermillion},
		{"ReadingsRefused", orange},
		{"MailFailing", vermillion},
		{"LimitKeptAgain", blue},
		{"EmergencyOver", blue},
	} {
		texts[a.name] = MappedText{k.t("alert_" + a.name), a.color, i}
	}
	return values(texts)
}

// alerts is a table of what the rules say now, with the time since when.
func (k kit) alerts(key, matchers string) *Panel {
	p := k.table(key, nowTable(fmt.Sprintf(`
		sort_desc(max by (alertname, station, parameter, severity, alertstate) (
			1000 * ALERTS{%[1]s} * ignoring (alertstate) group_left () ALERTS_FOR_STATE{%[1]s}
		))`, matchers)))
	k.columns(p,
		column{"alertname", "col_what", []Property{mapped(k.alertTexts()), background()}},
		column{"station", "col_station", []Property{linked(k.toStation(k.t("col_station")))}},
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"Value", "col_since", []Property{inUnit(ago)}},
		column{"severity", "col_severity", []Property{mapped(values(map[string]MappedText{
			"critical": {k.t("severity_critical"), "", 0}, "warning": {k.t("severity_warning"), "", 1}, "info": {k.t("severity_info"), "", 2},
		}))}},
		column{"alertstate", "col_alertstate", []Property{mapped(values(map[string]MappedText{
			"firing": {k.t("alert_firing"), "", 0}, "pending": {k.t("alert_pending"), "", 1},
		}))}},
	)
	k.sorted(p, "col_severity", false) // critical comes first in the alphabet
	p.FieldConfig.Defaults.NoValue = k.t("no_alerts")
	return p
}

// age is a stat of how old a reading is: blue while it may stand for now, grey
// after.
func (k kit) age(key, expr string, patience float64) *Panel {
	p := k.stat(key, seconds, now(expr))
	p.FieldConfig.Defaults.Decimals = new(0)
	p.FieldConfig.Defaults.Thresholds = steps(blue, patience, grey)
	p.FieldConfig.Defaults.Color = &Color{Mode: "thresholds"}
	return p
}

// A tally is one line of a panel of counts: how many of a query have a state.
type tally struct {
	key   string
	state int
	color string
}

// counts shows how many stations or sensors are in each state, one below the
// other. 0 is told, not left out.
func (k kit) counts(key, state string, tallies ...tally) *Panel {
	p := k.stat(key, "none")
	p.Options = statOptions{
		ReduceOptions: reduceOptions{Calcs: []string{"lastNotNull"}}, ColorMode: "background_solid", GraphMode: "none",
		TextMode: "value_and_name", JustifyMode: "auto", Orientation: "horizontal",
	}
	for _, c := range tallies {
		t := now(fmt.Sprintf("count((%s) == %d) or vector(0)", state, c.state)).as(c.key)
		t.LegendFormat = k.t(c.key)
		p.Targets = append(p.Targets, t)
		p.override(ofQuery(c.key), called(k.t(c.key)), withThresholds(steps("transparent", 1.0, c.color)))
	}
	return p
}
