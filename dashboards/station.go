package dashboards

import (
	"fmt"

	"tofuwatch/internal/water"
)

// station answers what one station measures: every parameter with its limits and
// their law, how far it can be trusted, and what it was a week ago.
func (k kit) station() *Dashboard {
	b := k.board(stationBoard, "now-2d", "1m")
	b.variables(k.stationVariable("", false), k.parameterVariable(`station="$station"`, true))
	const of = `station="$station"`
	b.annotate(of, `"station" = '$station'`)

	state := k.stat("station_state", "none", now(stateExpr(of)))
	state.FieldConfig.Defaults.Mappings = []Mapping{k.stateTexts(), nothing(k.t("state_silent"), grey)}
	b.put(6, 4, state)
	b.put(6, 4, k.age("station_age", `min(tofuwatch:age_seconds{station="$station"})`, k.in.patience().Seconds()))
	online := k.stat("station_online", "none", now(`max(tofuwatch_station_online{station="$station"})`))
	online.FieldConfig.Defaults.Mappings = []Mapping{values(map[string]MappedText{
		"0": {k.t("logger_offline"), grey, 0}, "1": {k.t("logger_online"), blue, 1},
	}), nothing(k.t("logger_unknown"), grey)}
	b.put(6, 4, online)
	silent := k.stat("station_silent", "none", now(`count(tofuwatch:silent_seconds{station="$station"} or tofuwatch:never_heard{station="$station"}) or vector(0)`))
	silent.FieldConfig.Defaults.Thresholds = steps(blue, 1.0, grey)
	b.put(6, 4, silent)

	latest := k.table("station_latest",
		nowTable(`max by (parameter, unit) (tofuwatch_reading{station="$station", method="sensor"})`).as("value"),
		nowTable(`max by (parameter) (tofuwatch:age_seconds{station="$station"})`).as("age"),
		nowTable(`max by (parameter) (tofuwatch_reading_flag{station="$station", method="sensor"})`).as("flag"),
		nowTable(`max by (parameter) (tofuwatch:times_limit{station="$station", statistic=""})`).as("times"),
		nowTable(`min by (parameter) (tofuwatch_limit{station="$station", bound="max"})`).as("max"),
		nowTable(`max by (parameter) (tofuwatch_limit{station="$station", bound="min"})`).as("min"),
	)
	latest.join("parameter")
	k.columns(latest,
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"Value #value", "col_value", []Property{withDecimals(2)}},
		column{"unit", "col_unit", nil},
		column{"Value #age", "col_age", []Property{inUnit(seconds), withDecimals(0), withThresholds(steps("transparent", k.in.patience().Seconds(), grey)), byThresholds(), background()}},
		column{"Value #times", "col_times", []Property{inUnit("suffix: ×"), withDecimals(1), withThresholds(steps("transparent", 1.000001, orange, 10.0, vermillion)), byThresholds(), background()}},
		column{"Value #min", "col_min", nil},
		column{"Value #max", "col_max", nil},
		column{"Value #flag", "col_flag", []Property{mapped(k.flagTexts())}},
	)
	b.put(14, 10, latest)

	laws := k.table("station_laws", nowTable(`
		max by (parameter, bound, law_`+string(k.language)+`, verified) (
			(tofuwatch_limit{station="$station"} or tofuwatch_daily_mean_limit{station="$station"})
				* on (standard, parameter, bound) group_left (law_id, law_en, verified) tofuwatch_limit_info
		)`))
	k.columns(laws,
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"bound", "col_bound", []Property{mapped(k.boundTexts())}},
		column{"Value", "col_limit", nil},
		column{"law_" + string(k.language), "col_law", nil},
		column{"verified", "col_verified", []Property{mapped(k.verifiedTexts())}},
	)
	laws.FieldConfig.Defaults.NoValue = k.t("no_limits")
	b.put(10, 10, laws)

	b.heading("station_parameters")
	p := k.parameterPanel()
	b.put(12, 10, p)
	b.x = 24

	b.heading("station_trust")
	flags := k.panel("state-timeline", "station_flags", history(`
		SELECT max(/^(`+k.codes(all)+`)_qc$/) FROM "water_quality"
		WHERE "station" = '$station' AND "method" = 'sensor' AND $timeFilter
		GROUP BY time($__interval) fill(null)`, "$col"))
	flags.Interval = "10m"
	flags.Options = map[string]any{
		"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.85,
		"legend": legendOptions{"list", "bottom", true, []string{}}, "tooltip": tooltipOptions{"multi", "none"},
	}
	flags.FieldConfig.Defaults.Mappings = []Mapping{k.flagTexts()}
	flags.FieldConfig.Defaults.Custom = &Custom{FillOpacity: new(80), LineWidth: new(0)}
	flags.FieldConfig.Defaults.Color = &Color{Mode: "thresholds"}
	flags.FieldConfig.Defaults.Thresholds = steps(blue, 2.0, skyBlue, 3.0, orange, 4.0, vermillion, 9.0, grey)
	for _, q := range k.parameters {
		flags.override(matching("max_"+q.Code+"_qc$"), called(k.parameterName(q)))
	}
	b.put(24, 10, flags)

	share := k.series("station_share", percent, history(`
		SELECT sum("valid") / sum("expected") FROM "water_quality_hourly"
		WHERE "station" = '$station' AND "method" = 'sensor' AND "expected" > 0 AND $timeFilter
		GROUP BY time($__interval), "parameter" fill(null)`, "$tag_parameter"))
	share.Interval = "1h"
	k.hourly(share)
	k.renamed(share)
	share.FieldConfig.Defaults.Min, share.FieldConfig.Defaults.Max = new(0.0), new(1.1)
	b.put(24, 9, share)
	return &b.Dashboard
}

// parameterPanel is repeated for every parameter of a station. A series is called
// "cod · what", so that it has the unit of its parameter; people read what.
func (k kit) parameterPanel() *Panel {
	of := func(what string) string { return "$parameter" + separator + what }
	where := `WHERE "station" = '$station' AND $timeFilter`
	limits := func(metric, word string) string {
		// A deviation is from something else: there is no line to draw.
		const of = `{station="$station", parameter="$parameter", bound!="deviation"}`
		expr := fmt.Sprintf(`(%[1]s%[2]s or on (station, parameter, bound) (%[1]s%[2]s @ end()))
			* on (standard, parameter, bound) group_left (law_id, law_en, verified) (tofuwatch_limit_info or tofuwatch_limit_info @ end())`, metric, of)
		expr = fmt.Sprintf(`max by (parameter, bound, law_%s, verified) (%s)`, k.language, expr)
		expr = fmt.Sprintf(`label_replace(%s, "note", %q, "verified", "false")`, expr, " ("+k.t("unverified")+")")
		for _, bound := range []string{"max", "min"} {
			expr = fmt.Sprintf(`label_replace(%s, "bound", %q, "bound", %q)`, expr, k.t(word+bound), bound)
		}
		return expr
	}
	p := k.series("station_parameter", "none",
		history(`SELECT mean("$parameter") FROM "water_quality" `+where+` AND "method" = 'sensor' AND "${parameter}_qc" <= 3 GROUP BY time($__interval) fill(null)`, of("sensor")).as("sensor"),
		history(`SELECT mean("$parameter") FROM "water_quality" `+where+` AND "method" = 'sensor' AND "${parameter}_qc" = 4 GROUP BY time($__interval) fill(none)`, of("bad")).as("bad"),
		history(`SELECT mean("$parameter") FROM "water_quality" `+where+` AND "method" =~ /^(lab|estimate|corrected)$/ GROUP BY time($__interval), "method" fill(none)`, of("$tag_method")).as("others"),
		history(`SELECT "week_ago" FROM "water_quality_hourly" `+where+` AND "method" = 'sensor' AND "parameter" = '$parameter'`, of("week")).as("week"),
		history(`SELECT "mean" FROM "water_quality_daily" `+where+` AND "method" = 'sensor' AND "parameter" = '$parameter' AND "valid" > 0`, of("day")).as("day"),
		over(limits("tofuwatch_limit", "limit_"), "{{parameter}}"+separator+"{{bound}} "+separator+" {{law_"+string(k.language)+"}}{{note}}").as("limit"),
		over(limits("tofuwatch_daily_mean_limit", "mean_limit_"), "{{parameter}}"+separator+"{{bound}} "+separator+" {{law_"+string(k.language)+"}}{{note}}").as("mean_limit"),
	)
	p.Title = "${parameter:text}"
	p.Repeat, p.RepeatDirection, p.MaxPerRow = "parameter", "h", 2
	k.units(p)
	points := func(refID, color string, size int) {
		p.override(ofQuery(refID), drawn("points"), inColor(color), pointSize(size), Property{"custom.showPoints", "always"})
	}
	p.override(ofQuery("sensor"), inColor(blue))
	p.override(matching(separator+"sensor$"), called(k.t("method_sensor")))
	points("bad", vermillion, 6)
	p.override(matching(separator+"bad$"), called(k.t("flag_4")))
	for _, m := range []struct{ method, color string }{{"lab", purple}, {"estimate", green}, {"corrected", skyBlue}} {
		p.override(matching(separator+m.method+"$"), called(k.t("method_"+m.method)), drawn("points"), inColor(m.color), pointSize(8), Property{"custom.showPoints", "always"})
	}
	p.override(ofQuery("week"), inColor(grey), thin(), Property{"custom.showPoints", "never"}, Property{"custom.spanNulls", 90 * 60 * 1000})
	p.override(matching(separator+"week$"), called(k.t("week_ago")))
	p.override(ofQuery("day"), inColor(green), thin(), Property{"custom.lineInterpolation", "stepAfter"}, Property{"custom.spanNulls", 25 * 60 * 60 * 1000}, Property{"custom.showPoints", "never"})
	p.override(matching(separator+"day$"), called(k.t("daily_mean")))
	for _, limit := range []struct{ refID, color string }{{"limit", vermillion}, {"mean_limit", orange}} {
		p.override(ofQuery(limit.refID), inColor(limit.color), dashed(), thin(), Property{"custom.showPoints", "never"}, Property{"custom.spanNulls", true})
	}
	return p
}

// flagTexts are the quality flags.
func (k kit) flagTexts() Mapping {
	return values(map[string]MappedText{
		"1": {k.t("flag_1"), blue, 0}, "2": {k.t("flag_2"), skyBlue, 1}, "3": {k.t("flag_3"), orange, 2},
		"4": {k.t("flag_4"), vermillion, 3}, "9": {k.t("flag_9"), grey, 4},
	})
}

func (k kit) boundTexts() Mapping {
	return values(map[string]MappedText{
		"max": {k.t("limit_max"), "", 0}, "min": {k.t("limit_min"), "", 1}, "deviation": {k.t("limit_deviation"), "", 2},
	})
}

func (k kit) verifiedTexts() Mapping {
	return values(map[string]MappedText{
		"true": {k.t("verified_yes"), "", 0}, "false": {k.t("verified_no"), orange, 1}, "": {k.t("own_limit"), "", 2},
	})
}

// renamed gives series that are called by a parameter's code its name, and the
// colour that it has in every panel.
func (k kit) renamed(p *Panel) {
	for i, q := range k.parameters {
		color := inColor(palette[i%len(palette)])
		if p.Type == "stat" {
			p.override(named(q.Code), called(k.parameterName(q)))
			continue
		}
		p.override(named(q.Code), color, called(k.parameterName(q)))
	}
}

// all is every parameter.
func all(*water.Parameter) bool { return true }
