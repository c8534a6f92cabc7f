package dashboards

// system answers the administrator: is every reading accounted for, does anything
// wait, and is somebody told.
func (k kit) system() *Dashboard {
	b := k.board(systemBoard, "now-6h", "30s")

	up := func(key, expr string) {
		p := k.stat(key, "none", now(expr))
		p.FieldConfig.Defaults.Mappings = []Mapping{values(map[string]MappedText{
			"0": {k.t("is_down"), vermillion, 0}, "1": {k.t("is_up"), blue, 1},
		}), nothing(k.t("is_down"), vermillion)}
		b.put(4, 4, p)
	}
	up("system_ingester", `max(up{job="tofuwatch"}) or vector(0)`)
	up("system_broker", `max(tofuwatch_broker_up) or vector(0)`)
	up("system_influxdb", `max(tofuwatch_influxdb_up) or vector(0)`)
	up("system_alertmanager", `max(up{job="alertmanager"}) or vector(0)`)
	balance := k.stat("system_balance", count, now(`sum(tofuwatch_readings_received_total) - sum(tofuwatch_readings_stored_total) - sum(tofuwatch_readings_deadlettered_total) - sum(tofuwatch_readings_pending)`))
	balance.FieldConfig.Defaults.Mappings = []Mapping{values(map[string]MappedText{"0": {k.t("balanced"), blue, 0}})}
	balance.FieldConfig.Defaults.Thresholds = steps(vermillion)
	b.put(4, 4, balance)
	b.put(4, 4, k.age("system_last", `time() - max(tofuwatch_last_message_timestamp_seconds)`, k.in.patience().Seconds()))

	for _, s := range []struct{ key, expr string }{
		{"system_received", `sum(tofuwatch_readings_received_total)`},
		{"system_stored", `sum(tofuwatch_readings_stored_total)`},
		{"system_deadlettered", `sum(tofuwatch_readings_deadlettered_total)`},
		{"system_pending", `sum(tofuwatch_readings_pending)`},
	} {
		b.put(4, 4, k.stat(s.key, count, now(s.expr)))
	}
	lag := k.stat("system_lag", seconds, now(`time() - min(tofuwatch_spool_oldest_timestamp_seconds) or vector(0)`))
	lag.FieldConfig.Defaults.Thresholds = steps(blue, 60.0, orange, 600.0, vermillion)
	lag.FieldConfig.Defaults.Decimals = new(0)
	b.put(4, 4, lag)
	// An hour has to be known; a year is far enough.
	full := k.stat("system_full", seconds, now(`
		clamp_max(max(tofuwatch_disk_free_bytes) / clamp_min(max(-deriv(tofuwatch_disk_free_bytes[6h])), 1), 31536000)
			and max(tofuwatch_disk_free_bytes offset 1h)
		or vector(-1)`))
	full.FieldConfig.Defaults.Thresholds = steps(grey, 0.0, vermillion, 7*86400.0, orange, 30*86400.0, blue)
	full.FieldConfig.Defaults.Mappings = []Mapping{values(map[string]MappedText{
		"-1": {k.t("not_known_yet"), grey, 0}, "31536000": {k.t("over_a_year"), blue, 1},
	})}
	full.FieldConfig.Defaults.Decimals = new(0)
	b.put(4, 4, full)

	rate := k.series("system_rate", "suffix: /s",
		over(`sum(rate(tofuwatch_readings_received_total[$__rate_interval]))`, k.t("received")),
		over(`sum(rate(tofuwatch_readings_stored_total[$__rate_interval]))`, k.t("stored")))
	b.put(12, 9, rate)
	waiting := k.series("system_waiting", count,
		over(`sum(tofuwatch_readings_pending)`, k.t("pending")),
		over(`sum(tofuwatch_summaries_pending)`, k.t("spans_pending")))
	b.put(12, 9, waiting)
	b.put(12, 9, k.series("system_spool", octets,
		over(`sum(tofuwatch_spool_bytes)`, k.t("spool")),
		over(`max(tofuwatch_disk_free_bytes)`, k.t("disk_free"))))
	b.put(12, 9, k.series("system_age", seconds,
		over(`time() - max(tofuwatch_last_message_timestamp_seconds)`, k.t("since_message")),
		over(`time() - max(tofuwatch_reading_timestamp_seconds{method="sensor"})`, k.t("since_sample")),
		over(`time() - min(tofuwatch_spool_oldest_timestamp_seconds) or vector(0)`, k.t("oldest_pending"))))
	letters := k.bars("system_letters", count, over(`sum by (reason) (increase(tofuwatch_readings_deadlettered_total[$__rate_interval]))`, "{{reason}}"))
	letters.FieldConfig.Defaults.Custom.Stacking = &Stacking{"normal", "A"}
	b.put(12, 9, letters)
	b.put(12, 9, k.series("system_mail", count,
		over(`sum(increase(alertmanager_notifications_total{integration="email"}[$__rate_interval]))`, k.t("mail_sent")),
		over(`sum(increase(alertmanager_notifications_failed_total{integration="email"}[$__rate_interval]))`, k.t("mail_failed"))))
	reasons := k.table("system_reasons", nowTable(`sum by (reason) (tofuwatch_readings_deadlettered_total)`))
	k.columns(reasons, column{"reason", "col_reason", nil}, column{"Value", "col_readings", []Property{inUnit(count)}})
	k.sorted(reasons, "col_readings", true)
	b.put(8, 10, reasons)
	sources := k.table("system_sources", nowTable(`sum by (source) (tofuwatch_messages_received_total)`))
	k.columns(sources, column{"source", "col_source", nil}, column{"Value", "col_messages", []Property{inUnit(count)}})
	b.put(8, 10, sources)
	b.put(8, 10, k.alerts("system_alerts", `concerns="system"`))
	b.put(12, 9, k.series("system_memory", octets, over(`process_resident_memory_bytes{job=~"tofuwatch|alertmanager"}`, "{{job}}")))
	b.put(12, 9, k.series("system_cpu", percent, over(`rate(process_cpu_seconds_total{job=~"tofuwatch|alertmanager"}[$__rate_interval])`, "{{job}}")))
	return &b.Dashboard
}
