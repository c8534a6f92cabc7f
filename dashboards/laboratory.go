package dashboards

// laboratory answers who sends bottles: what came back, how late, and how far it
// is from what was estimated or measured meanwhile.
func (k kit) laboratory() *Dashboard {
	b := k.board(laboratoryBoard, "now-90d", "")
	b.variables(k.stationVariable("", true), k.parameterVariable("", false))
	const of = `"station" =~ /^${station:regex}$/`

	late := k.table("laboratory_late",
		nowTable(`max by (station, parameter, method) (1000 * tofuwatch_late_exceedance_timestamp_seconds{station=~"$station"})`).as("sampled"),
		nowTable(`max by (station, parameter, method, unit) (tofuwatch_late_exceedance_value{station=~"$station"})`).as("value"),
		nowTable(`max by (station, parameter, method) (tofuwatch_late_exceedance_limit{station=~"$station"})`).as("limit"),
	)
	late.merge()
	k.columns(late,
		column{"Value #sampled", "col_sampled", []Property{inUnit(moment)}},
		column{"station", "col_station", []Property{linked(k.toStation(k.t("col_station")))}},
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"Value #value", "col_value", nil},
		column{"unit", "col_unit", nil},
		column{"Value #limit", "col_limit", nil},
		column{"method", "col_method", []Property{mapped(k.methodTexts())}},
	)
	k.sorted(late, "col_sampled", true)
	late.FieldConfig.Defaults.NoValue = k.t("no_late")

	results := k.table("laboratory_results", historyTable(`
		SELECT "mean", "valid" + "suspect" + "bad" AS "results", "judged", "over" FROM "water_quality_daily"
		WHERE `+of+` AND "method" =~ /^lab/ AND "valid" > 0 AND $timeFilter GROUP BY "station", "parameter", "method"`))
	k.columns(results,
		column{"Time", "col_sampled", []Property{inUnit("time:DD MMM YYYY")}},
		column{"station", "col_station", []Property{linked(k.toStation(k.t("col_station")))}},
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"mean", "col_value", []Property{withDecimals(2)}},
		column{"results", "col_results", nil},
		column{"judged", "col_judged", nil},
		column{"over", "col_over", nil},
		column{"method", "col_method", []Property{mapped(k.methodTexts())}},
	)
	k.sorted(results, "col_sampled", true)
	results.FieldConfig.Defaults.NoValue = k.t("no_results")
	b.put(14, 12, results)
	b.put(10, 12, late)

	compared := k.series("laboratory_compared", "none", history(`
		SELECT "mean" FROM "water_quality_daily"
		WHERE `+of+` AND "parameter" = '$parameter' AND "valid" > 0 AND $timeFilter GROUP BY "station", "method"`, "$parameter"+separator+"$tag_method"+separator+"$tag_station"))
	k.units(compared)
	compared.FieldConfig.Defaults.Custom.SpanNulls = int64(25 * 60 * 60 * 1000)
	for _, method := range []string{"lab", "lab_superseded", "estimate"} {
		compared.override(matching(separator+method+separator), drawn("points"), pointSize(9), Property{"custom.showPoints", "always"})
	}
	b.put(24, 10, compared)

	methods := k.table("laboratory_methods", historyTable(`
		SELECT mean("mean") AS "mean", min("min") AS "min", max("max") AS "max", sum("valid") AS "results" FROM "water_quality_daily"
		WHERE `+of+` AND "parameter" = '$parameter' AND "valid" > 0 AND $timeFilter GROUP BY "station", "method"`))
	k.columns(methods,
		column{"station", "col_station", nil},
		column{"method", "col_method", []Property{mapped(k.methodTexts())}},
		column{"mean", "col_mean", []Property{withDecimals(2)}},
		column{"min", "col_lowest", []Property{withDecimals(2)}},
		column{"max", "col_highest", []Property{withDecimals(2)}},
		column{"results", "col_results", []Property{inUnit(count)}},
	)
	b.put(12, 10, methods)
	timing := k.table("laboratory_timing", nowTable(`sum by (station, method, timing) (tofuwatch_exceedances_total{station=~"$station"}) > 0`))
	k.columns(timing,
		column{"station", "col_station", nil},
		column{"method", "col_method", []Property{mapped(k.methodTexts())}},
		column{"timing", "col_timing", []Property{mapped(values(map[string]MappedText{"live": {k.t("timing_live"), "", 0}, "late": {k.t("timing_late"), "", 1}}))}},
		column{"Value", "col_over", []Property{inUnit(count)}},
	)
	k.sorted(timing, "col_over", true)
	b.put(12, 10, timing)
	return &b.Dashboard
}

func (k kit) methodTexts() Mapping {
	texts := make(map[string]MappedText)
	for i, m := range []string{"sensor", "lab", "estimate", "corrected", "lab_superseded"} {
		texts[m] = MappedText{k.t("method_" + m), "", i}
	}
	return values(texts)
}
