package dashboards

import "fmt"

// States of a sensor, the worst one highest.
const (
	sensorQuiet = iota
	sensorSuspect
	sensorBad
	sensorSilent
	sensorNever
)

// sensors answers the technician: which sensor is silent, stuck, drifting or
// doubtful, and whose clock is wrong.
func (k kit) sensors() *Dashboard {
	b := k.board(sensorsBoard, "now-7d", "1m")
	b.variables(k.stationVariable("", true))
	const of = `station=~"$station"`
	const where = `"station" =~ /^${station:regex}$/ AND "method" = 'sensor'`
	b.annotate(of, `"station" =~ /^${station:regex}$/`)

	state := fmt.Sprintf(`
		max by (station, parameter) (tofuwatch:never_heard{%[1]s}) * 0 + %[2]d
		or max by (station, parameter) (tofuwatch:observations:bad1h{%[1]s}) * 0 + %[3]d
		or max by (station, parameter) (tofuwatch:silent_seconds{%[1]s}) * 0 + %[4]d
		or max by (station, parameter) (tofuwatch_reading_flag{method="sensor", %[1]s} == 3) * 0 + %[5]d
		or max by (station, parameter) (tofuwatch_expected_interval_seconds{%[1]s}) * 0 + %[6]d`,
		of, sensorNever, sensorBad, sensorSilent, sensorSuspect, sensorQuiet)
	b.put(5, 10, k.counts("sensors_counts", state,
		tally{"sensor_never", sensorNever, grey}, tally{"sensor_silent", sensorSilent, grey}, tally{"sensor_bad", sensorBad, vermillion},
		tally{"sensor_suspect", sensorSuspect, orange}, tally{"sensor_quiet", sensorQuiet, blue}))
	clocks := k.stat("sensors_clocks", "none", now(`round(sum(increase(tofuwatch_readings_deadlettered_total{reason=~"bad_time|no_time"}[1d]))) or vector(0)`))
	clocks.FieldConfig.Defaults.Thresholds = steps("transparent", 1.0, orange)
	b.under(4, clocks)

	list := k.table("sensors_list",
		nowTable(state).as("state"),
		nowTable(`max by (station, parameter) (tofuwatch:age_seconds{`+of+`})`).as("age"),
		nowTable(`max by (station, parameter) (tofuwatch:interval_seconds{`+of+`})`).as("interval"),
		nowTable(`max by (station, parameter) (tofuwatch_reading{method="sensor", `+of+`})`).as("value"),
		nowTable(`round(100 * sum by (station, parameter) (increase(tofuwatch_observations_total{method="sensor", flag=~"3|4|9", `+of+`}[6h])) / sum by (station, parameter) (increase(tofuwatch_observations_total{method="sensor", `+of+`}[6h]) > 0)) / 100`).as("doubtful"),
	)
	list.merge()
	k.columns(list,
		column{"Value #state", "col_state", []Property{mapped(k.sensorTexts()), background()}},
		column{"station", "col_station", []Property{linked(k.toStation(k.t("col_station")))}},
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"Value #age", "col_age", []Property{inUnit(seconds), withDecimals(0)}},
		column{"Value #interval", "col_interval", []Property{inUnit(seconds), withDecimals(0)}},
		column{"Value #value", "col_value", []Property{withDecimals(2)}},
		column{"Value #doubtful", "col_doubtful", []Property{inUnit(percent), withDecimals(0)}},
	)
	k.sorted(list, "col_state", true)
	b.put(11, 14, list)
	b.put(8, 14, k.alerts("sensors_alerts", `alertname=~"SensorSilent|StationOffline|SensorSuspect", `+of))

	shares := k.table("sensors_day", historyTable(`
		SELECT sum("expected") AS "expected", sum("valid") / sum("expected") AS "valid", sum("suspect") / sum("expected") AS "suspect", sum("bad") / sum("expected") AS "bad", sum("missing") / sum("expected") AS "missing"
		FROM "water_quality_hourly" WHERE `+where+` AND "expected" > 0 AND $timeFilter GROUP BY "station", "parameter"`))
	shares.TimeFrom = "24h"
	shareOf := []Property{inUnit(percent), withDecimals(0)}
	k.columns(shares,
		column{"station", "col_station", []Property{linked(k.toStation(k.t("col_station")))}},
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"valid", "col_valid", append(shareOf, withThresholds(steps(vermillion, 0.75, orange, 0.9, "transparent")), byThresholds(), background())},
		column{"suspect", "flag_3", shareOf},
		column{"bad", "flag_4", shareOf},
		column{"missing", "flag_9", shareOf},
		column{"expected", "col_expected", nil},
	)
	k.sorted(shares, "col_valid", false)
	b.put(14, 12, shares)

	stuck := k.table("sensors_stuck", historyTable(`
		SELECT count("mean") AS "hours", last("mean") AS "last" FROM "water_quality_hourly"
		WHERE `+where+` AND "valid" > 5 AND "max" - "min" = 0 AND $timeFilter GROUP BY "station", "parameter"`))
	k.columns(stuck,
		column{"station", "col_station", []Property{linked(k.toStation(k.t("col_station")))}},
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"hours", "col_stuck", nil},
		column{"last", "col_value", []Property{withDecimals(2)}},
	)
	k.sorted(stuck, "col_stuck", true)
	stuck.FieldConfig.Defaults.NoValue = k.t("nothing_stuck")
	b.put(10, 12, stuck)

	flags := k.bars("sensors_flags", count, history(`
		SELECT sum("valid") AS "`+k.t("flag_1")+`", sum("suspect") AS "`+k.t("flag_3")+`", sum("bad") AS "`+k.t("flag_4")+`", sum("missing") AS "`+k.t("flag_9")+`", sum("expected") - sum("valid") - sum("suspect") - sum("bad") - sum("missing") AS "`+k.t("not_received")+`"
		FROM "water_quality_daily" WHERE `+where+` AND "expected" > 0 AND $timeFilter GROUP BY time(1d, `+k.in.dayOffset()+`) fill(none)`, "$col"))
	flags.FieldConfig.Defaults.Custom.Stacking = &Stacking{"percent", "A"}
	flags.FieldConfig.Defaults.Min = new(0.0)
	for _, f := range []struct{ key, color string }{{"flag_1", blue}, {"flag_3", orange}, {"flag_4", vermillion}, {"flag_9", grey}, {"not_received", gold}} {
		flags.override(named(k.t(f.key)), inColor(f.color))
	}
	b.put(12, 9, flags)

	online := k.panel("state-timeline", "sensors_online", over(`max by (station) (tofuwatch_station_online{`+of+`})`, "{{station}}"))
	online.Options = map[string]any{
		"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.85,
		"legend": legendOptions{"list", "bottom", true, []string{}}, "tooltip": tooltipOptions{"single", "none"},
	}
	online.FieldConfig.Defaults.Mappings = []Mapping{values(map[string]MappedText{
		"0": {k.t("logger_offline"), grey, 0}, "1": {k.t("logger_online"), blue, 1},
	})}
	online.FieldConfig.Defaults.Color = &Color{Mode: "thresholds"}
	online.FieldConfig.Defaults.Thresholds = steps(grey, 1.0, blue)
	online.FieldConfig.Defaults.Custom = &Custom{FillOpacity: new(80), LineWidth: new(0)}
	b.put(12, 9, online)

	calibrations := k.table("sensors_calibrations", historyTable(`
		SELECT "reference", "before", "after_cleaning", "after_calibration", "who" FROM "calibration"
		WHERE "station" =~ /^${station:regex}$/ AND $timeFilter GROUP BY "station", "parameter"`))
	calibrations.TimeFrom = "90d"
	calibrations.FieldConfig.Defaults.NoValue = k.t("no_calibrations")
	k.columns(calibrations,
		column{"Time", "col_when", []Property{inUnit(moment)}},
		column{"station", "col_station", nil},
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"reference", "col_reference", nil},
		column{"before", "col_before", nil},
		column{"after_cleaning", "col_cleaned", nil},
		column{"after_calibration", "col_calibrated", nil},
		column{"who", "col_by", nil},
	)
	k.sorted(calibrations, "col_when", true)
	b.put(12, 9, calibrations)

	letters := k.bars("sensors_letters", count, over(`sum by (reason) (increase(tofuwatch_readings_deadlettered_total[$__interval])) > 0 or sum by (reason) (tofuwatch_readings_deadlettered_total{reason=~"bad_time|no_time"}) * 0`, "{{reason}}"))
	letters.Interval = "1h"
	b.put(12, 9, letters)
	return &b.Dashboard
}

func (k kit) sensorTexts() Mapping {
	return values(map[string]MappedText{
		fmt.Sprint(sensorQuiet):   {k.t("sensor_quiet"), blue, 0},
		fmt.Sprint(sensorSuspect): {k.t("sensor_suspect"), orange, 1},
		fmt.Sprint(sensorBad):     {k.t("sensor_bad"), vermillion, 2},
		fmt.Sprint(sensorSilent):  {k.t("sensor_silent"), grey, 3},
		fmt.Sprint(sensorNever):   {k.t("sensor_never"), grey, 4},
	})
}
