package dashboards

import "fmt"

// treatment answers the plant's operator: does it clean, what is getting worse,
// does too much water come.
func (k kit) treatment() *Dashboard {
	b := k.board(treatmentBoard, "now-7d", "1m")
	outlet := k.stationVariable(`kind="effluent"`, false)
	outlet.Label = k.t("outlet_label")
	ref := influx
	inlet := Variable{
		Name: "influent", Label: k.t("inlet_label"), Type: "query", Datasource: &ref, Refresh: 2, Sort: 1,
		Query: `SHOW TAG VALUES FROM "treatment_hourly" WITH KEY = "influent" WHERE "station" = '$station'`,
	}
	inlet.Definition = inlet.Query.(string)
	b.variables(outlet, inlet)
	const of = `station="$station"`
	b.annotate(`station=~"$station|$influent"`, `"station" =~ /^($station|$influent)$/`)

	state := k.stat("treatment_state", "none", now(stateExpr(of)))
	state.FieldConfig.Defaults.Mappings = []Mapping{k.stateTexts(), nothing(k.t("state_silent"), grey)}
	b.put(6, 4, state)
	b.put(4, 4, k.age("treatment_age", `min(tofuwatch:age_seconds{station="$station"})`, k.in.patience().Seconds()))
	removal := k.stat("treatment_removal_now", percent, history(`
		SELECT last("removal") FROM "treatment_hourly" WHERE "station" = '$station' AND $timeFilter GROUP BY "parameter"`, "$tag_parameter"))
	removal.TimeFrom = "4h"
	removal.FieldConfig.Defaults.Decimals = new(0)
	removal.FieldConfig.Defaults.Thresholds = steps(vermillion, 0.5, orange, 0.8, blue)
	k.renamed(removal)
	b.put(8, 4, removal)
	ph := k.stat("treatment_ph", "none", now(`max(tofuwatch_reading{station="$station", parameter="ph", method="sensor"} and on (station, parameter) tofuwatch:age_seconds <= on (station, parameter) tofuwatch:patience_seconds)`))
	ph.FieldConfig.Defaults.Decimals = new(1)
	ph.FieldConfig.Defaults.NoValue = k.t("no_fresh")
	ph.FieldConfig.Defaults.Thresholds = steps(vermillion, 6.0, orange, 6.3, blue, 8.7, orange, 9.0, vermillion)
	b.put(6, 4, ph)

	inOut := k.series("treatment_in_out", "suffix: mg/L",
		history(`SELECT mean("mean") FROM "water_quality_hourly" WHERE "station" = '$influent' AND `+sensorMean("cod"), k.t("cod_in")).as("in"),
		history(`SELECT mean("mean") FROM "water_quality_hourly" WHERE "station" = '$station' AND `+sensorMean("cod"), k.t("cod_out")).as("out"),
		history(`SELECT mean("week_ago") FROM "water_quality_hourly" WHERE "station" = '$station' AND "method" = 'sensor' AND "parameter" = 'cod' AND $timeFilter GROUP BY time($__interval) fill(null)`, k.t("week_ago")).as("week"),
		over(`min(tofuwatch_limit{station="$station", parameter="cod", bound="max"} or on (station, parameter, bound) tofuwatch_limit{station="$station", parameter="cod", bound="max"} @ end())`, k.t("cod_limit")).as("limit"),
	)
	inOut.Interval = "1h"
	k.hourly(inOut)
	inOut.FieldConfig.Defaults.Custom.ScaleDistribution = &Scale{"log", 10}
	inOut.override(ofQuery("in"), inColor(orange))
	inOut.override(ofQuery("out"), inColor(blue))
	inOut.override(ofQuery("week"), inColor(grey), thin())
	inOut.override(ofQuery("limit"), inColor(vermillion), dashed(), thin(), Property{"custom.spanNulls", true})
	b.put(12, 10, inOut)

	trend := k.series("treatment_removal", percent, history(`
		SELECT mean("removal") FROM "treatment_hourly" WHERE "station" = '$station' AND $timeFilter GROUP BY time($__interval), "parameter" fill(null)`, "$tag_parameter"))
	trend.Interval = "1h"
	k.hourly(trend)
	k.renamed(trend)
	trend.FieldConfig.Defaults.Max = new(1.0)
	b.put(12, 10, trend)

	compared := k.series("treatment_unusual", "suffix: ×", history(fmt.Sprintf(`
		SELECT mean("mean") / mean("week_ago") FROM "water_quality_hourly"
		WHERE "station" = '$station' AND "method" = 'sensor' AND "parameter" =~ /^(%s)$/ AND "valid" > 0 AND $timeFilter
		GROUP BY time($__interval), "parameter" fill(null)`, k.loads()), "$tag_parameter"))
	compared.Interval = "1h"
	k.hourly(compared)
	k.renamed(compared)
	limitLine(compared, 1.5)
	b.put(12, 9, compared)

	acid := k.series("treatment_acid", "none",
		history(`SELECT mean("mean") FROM "water_quality_hourly" WHERE "station" = '$influent' AND `+sensorMean("ph"), k.t("ph_in")).as("in"),
		history(`SELECT mean("mean") FROM "water_quality_hourly" WHERE "station" = '$station' AND `+sensorMean("ph"), k.t("ph_out")).as("out"),
		over(`label_replace(label_replace(tofuwatch_limit{station="$station", parameter="ph"} or on (station, parameter, bound) tofuwatch_limit{station="$station", parameter="ph"} @ end(), "bound", "`+k.t("limit_max")+`", "bound", "max"), "bound", "`+k.t("limit_min")+`", "bound", "min")`, "{{bound}}").as("limit"),
	)
	acid.Interval = "1h"
	k.hourly(acid)
	acid.override(ofQuery("in"), inColor(orange))
	acid.override(ofQuery("out"), inColor(blue))
	acid.override(ofQuery("limit"), inColor(vermillion), dashed(), thin(), Property{"custom.spanNulls", true})
	b.put(12, 9, acid)

	load := k.daily("treatment_load", "suffix: kg", history(fmt.Sprintf(`
		SELECT "load" FROM "water_quality_daily"
		WHERE "station" = '$station' AND "method" = 'sensor' AND "parameter" =~ /^(%s)$/ AND "load_hours" >= 18 AND $timeFilter
		GROUP BY "parameter"`, k.loads()), "$tag_parameter"))
	k.renamed(load)
	b.put(12, 9, load)

	water := k.daily("treatment_water", "suffix: m³",
		history(`SELECT "load" FROM "water_quality_daily" WHERE "station" = '$influent' AND "method" = 'sensor' AND "parameter" = 'flow' AND "load_hours" >= 18 AND $timeFilter`, k.t("water_in")).as("in"),
		history(`SELECT "load" FROM "water_quality_daily" WHERE "station" = '$station' AND "method" = 'sensor' AND "parameter" = 'flow' AND "load_hours" >= 18 AND $timeFilter`, k.t("water_out")).as("out"))
	water.override(ofQuery("in"), inColor(orange))
	water.override(ofQuery("out"), inColor(blue))
	b.put(12, 9, water)

	flow := k.series("treatment_flow", "suffix: m³/h",
		history(`SELECT mean("mean") FROM "water_quality_hourly" WHERE "station" = '$influent' AND `+sensorMean("flow"), k.t("water_in")).as("in"),
		history(`SELECT mean("mean") FROM "water_quality_hourly" WHERE "station" = '$station' AND `+sensorMean("flow"), k.t("water_out")).as("out"),
		history(`SELECT mean("week_ago") FROM "water_quality_hourly" WHERE "station" = '$influent' AND "method" = 'sensor' AND "parameter" = 'flow' AND $timeFilter GROUP BY time($__interval) fill(null)`, k.t("week_ago")).as("week"))
	flow.Interval = "1h"
	k.hourly(flow)
	flow.override(ofQuery("in"), inColor(orange))
	flow.override(ofQuery("out"), inColor(blue))
	flow.override(ofQuery("week"), inColor(grey), thin())
	b.put(12, 9, flow)

	b.put(12, 9, k.alerts("treatment_alerts", `station=~"$station|$influent"`))

	days := k.table("treatment_days", historyTable(`
		SELECT "influent_mean", "effluent_mean", "removal", "hours" FROM "treatment_daily"
		WHERE "station" = '$station' AND $timeFilter GROUP BY "parameter"`))
	k.columns(days,
		column{"Time", "col_day", []Property{inUnit("time:DD MMM YYYY")}},
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"removal", "col_removal", []Property{inUnit(percent), withDecimals(0)}},
		column{"influent_mean", "col_in", []Property{withDecimals(0), inUnit("suffix: mg/L")}},
		column{"effluent_mean", "col_out", []Property{withDecimals(0), inUnit("suffix: mg/L")}},
		column{"hours", "col_hours", nil},
	)
	k.sorted(days, "col_day", true)
	b.put(24, 9, days)
	return &b.Dashboard
}

// sensorMean is the rest of a query for hourly means of a sensor.
func sensorMean(code string) string {
	return `"method" = 'sensor' AND "parameter" = '` + code + `' AND "valid" > 0 AND $timeFilter GROUP BY time($__interval) fill(null)`
}
