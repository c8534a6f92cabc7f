package dashboards

// compliance answers the agency: for each station, parameter and month, how much
// of the time the limit was kept, how bad it was, and how much was measured at all.
func (k kit) compliance() *Dashboard {
	b := k.board(complianceBoard, "now/M", "")
	b.variables(k.stationVariable("", true), k.parameterVariable("", true))
	const of = `"station" =~ /^${station:regex}$/ AND "parameter" =~ /^${parameter:regex}$/ AND "method" = 'sensor'`

	share := func(over, judged string) string { return `1 - ` + over + ` / ` + judged }
	kept := k.stat("compliance_kept", percent, historyTable(`SELECT `+share(`sum("over_seconds")`, `sum("judged_seconds")`)+` AS "kept" FROM "water_quality_daily" WHERE `+of+` AND "judged" > 0 AND $timeFilter`))
	kept.FieldConfig.Defaults.Decimals = new(1)
	b.put(6, 4, kept)
	available := k.stat("compliance_available", percent, historyTable(`SELECT sum("valid") / sum("expected") AS "available" FROM "water_quality_daily" WHERE `+of+` AND "expected" > 0 AND $timeFilter`))
	available.FieldConfig.Defaults.Decimals = new(1)
	available.FieldConfig.Defaults.Thresholds = steps(vermillion, 0.75, orange, 0.9, blue)
	b.put(6, 4, available)
	worst := k.stat("compliance_worst", "suffix: ×", historyTable(`SELECT max("times") AS "worst" FROM "water_quality_daily" WHERE `+of+` AND "judged" > 0 AND $timeFilter`))
	worst.FieldConfig.Defaults.Decimals = new(1)
	worst.FieldConfig.Defaults.Thresholds = steps(blue, 1.000001, orange, 10.0, vermillion)
	b.put(6, 4, worst)
	unverified := k.stat("compliance_unverified", "none", now(`count(count by (standard) (tofuwatch_limit_info{verified="false"})) or vector(0)`))
	unverified.FieldConfig.Defaults.Thresholds = steps(blue, 1.0, orange)
	b.put(6, 4, unverified)

	months := k.table("compliance_months", historyTable(`
		SELECT `+share(`"over_seconds"`, `"judged_seconds"`)+` AS "kept", `+share(`"over"`, `"judged"`)+` AS "kept_samples", "judged", "over", "min", "mean", "max", "times",
			"mean_over", "mean_judged", "valid" / "expected" AS "available"
		FROM "water_quality_monthly" WHERE `+of+` AND "judged" > 0 AND "valid" > 0 AND $timeFilter GROUP BY "station", "parameter"`))
	k.complianceColumns(months, column{"Time", "col_month", []Property{inUnit("time:MMMM YYYY")}})
	k.sorted(months, "col_kept", false)
	b.put(24, 14, months)

	totals := k.table("compliance_range", historyTable(`
		SELECT `+share(`sum("over_seconds")`, `sum("judged_seconds")`)+` AS "kept", `+share(`sum("over")`, `sum("judged")`)+` AS "kept_samples", sum("judged") AS "judged", sum("over") AS "over",
			min("min") AS "min", mean("mean") AS "mean", max("max") AS "max", max("times") AS "times",
			sum("mean_over") AS "mean_over", sum("mean_judged") AS "mean_judged", sum("valid") / sum("expected") AS "available"
		FROM "water_quality_daily" WHERE `+of+` AND "judged" > 0 AND "valid" > 0 AND $timeFilter GROUP BY "station", "parameter"`))
	k.complianceColumns(totals)
	k.sorted(totals, "col_kept", false)
	b.put(24, 14, totals)

	days := k.panel("status-history", "compliance_days", history(`
		SELECT `+share(`sum("over_seconds")`, `sum("judged_seconds")`)+` FROM "water_quality_daily"
		WHERE `+of+` AND "judged" > 0 AND $timeFilter GROUP BY time(1d, `+k.in.dayOffset()+`), "station", "parameter" fill(none)`, "$tag_station"+separator+"$tag_parameter"))
	k.historyOptions(days)
	days.FieldConfig.Defaults.Unit = percent
	days.FieldConfig.Defaults.Decimals = new(0)
	days.FieldConfig.Defaults.Thresholds = steps(vermillion, 0.5, orange, 0.95, skyBlue, 0.999999, blue)
	b.put(24, 18, days)

	measured := k.panel("status-history", "compliance_measured", history(`
		SELECT sum("valid") / sum("expected") FROM "water_quality_daily"
		WHERE `+of+` AND "expected" > 0 AND $timeFilter GROUP BY time(1d, `+k.in.dayOffset()+`), "station" fill(none)`, "$tag_station"))
	k.historyOptions(measured)
	measured.FieldConfig.Defaults.Unit = percent
	measured.FieldConfig.Defaults.Decimals = new(0)
	measured.FieldConfig.Defaults.Thresholds = steps(grey, 0.000001, vermillion, 0.75, orange, 0.9, blue)
	b.put(24, 9, measured)

	laws := k.table("compliance_laws", nowTable(`
		max by (station, parameter, bound, law_`+string(k.language)+`, verified) (
			(tofuwatch_limit{station=~"$station", parameter=~"$parameter"} or tofuwatch_daily_mean_limit{station=~"$station", parameter=~"$parameter"})
				* on (standard, parameter, bound) group_left (law_id, law_en, verified) tofuwatch_limit_info
		)`))
	k.columns(laws,
		column{"station", "col_station", nil},
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"bound", "col_bound", []Property{mapped(k.boundTexts())}},
		column{"Value", "col_limit", nil},
		column{"law_" + string(k.language), "col_law", nil},
		column{"verified", "col_verified", []Property{mapped(k.verifiedTexts())}},
	)
	b.put(24, 10, laws)
	return &b.Dashboard
}

// complianceColumns are those of a table on limits kept, and more in their midst.
func (k kit) complianceColumns(p *Panel, more ...column) {
	k.columns(p, append([]column{
		{"kept", "col_kept", []Property{inUnit(percent), withDecimals(1), withThresholds(steps(vermillion, 0.5, orange, 0.95, "transparent")), byThresholds(), background()}},
		{"station", "col_station", []Property{linked(k.toStation(k.t("col_station")))}},
		{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
	}, append(more,
		column{"kept_samples", "col_kept_samples", []Property{inUnit(percent), withDecimals(1)}},
		column{"over", "col_over", []Property{inUnit(count)}},
		column{"judged", "col_judged", []Property{inUnit(count)}},
		column{"times", "col_worst", []Property{inUnit("suffix: ×"), withDecimals(1)}},
		column{"min", "col_lowest", []Property{withDecimals(2)}},
		column{"mean", "col_mean", []Property{withDecimals(2)}},
		column{"max", "col_highest", []Property{withDecimals(2)}},
		column{"available", "col_available", []Property{inUnit(percent), withDecimals(0), withThresholds(steps(vermillion, 0.75, "transparent")), byThresholds(), background()}},
		column{"mean_over", "col_mean_over", nil},
		column{"mean_judged", "col_mean_judged", nil},
	)...)...)
}

// historyOptions shows a cell for each day.
func (k kit) historyOptions(p *Panel) {
	p.Options = map[string]any{
		"rowHeight": 0.85, "colWidth": 0.9, "showValue": "auto",
		"legend": legendOptions{"list", "bottom", false, []string{}}, "tooltip": tooltipOptions{"single", "none"},
	}
	p.FieldConfig.Defaults.Color = &Color{Mode: "thresholds"}
	p.FieldConfig.Defaults.Custom = &Custom{FillOpacity: new(80), LineWidth: new(1)}
	p.MaxDataPoints = 400
}
