package mail

import (
	"maps"
	"strconv"
	"strings"
	"time"
)

// A Sample is a notification as it may come, for people to look at.
type Sample struct {
	Name string // "effluent-over-limit-critical"
	Data Data
}

// Samples returns one of every kind of mail, as if sent at a moment. Two stations
// of a site lend their IDs: one at an outlet, one on a river.
func Samples(outlet, river string, now time.Time) []Sample {
	const law = "PP 22/2021 Lampiran VI, kelas II"
	over := func(alertname, station, parameter, bound, severity, standing string, annotations ...string) Alert {
		a := alert(now, alertname, "station", station, "parameter", parameter, "bound", bound, "severity", severity, "standing", standing)
		a.Annotations = pairs(append([]string{"flag", "1", "sampled", unix(now, -2*time.Minute), "verified", "false"}, annotations...)...)
		if a.Annotations["law_id"] == "" {
			a.Annotations["law_id"], a.Annotations["law_en"] = "Permen LH 5/2014 Lampiran XVIII, tahu", "Permen LH 5/2014 annex XVIII, tofu"
		}
		return a
	}
	class2 := []string{"law_id", law, "law_en", "PP 22/2021 annex VI, class II"}
	event := func(alertname, station, parameter, severity, value, usual string) Alert {
		a := alert(now, alertname, "station", station, "parameter", parameter, "severity", severity, "standing", "no")
		a.Annotations = pairs("flag", "1", "sampled", unix(now, -2*time.Minute), "value", value, "usual", usual)
		return a
	}
	limited := func(a Alert, annotations ...string) Alert {
		maps.Copy(a.Annotations, pairs(annotations...))
		return a
	}
	kept := func(a Alert) Alert {
		a.Labels["told"] = "warning"
		return a
	}
	late := func(a Alert, method string, ago time.Duration) Alert {
		a.Labels["method"] = method
		a.Annotations["sampled"] = unix(now, -ago)
		delete(a.Annotations, "flag")
		return a
	}
	silent := func(alertname, parameter string, annotations ...string) Alert {
		labels := []string{"station", outlet, "severity", "warning", "standing", "no"}
		if parameter != "" {
			labels = append(labels, "parameter", parameter)
		}
		a := alert(now, alertname, labels...)
		a.Annotations = pairs(annotations...)
		return a
	}
	system := func(alertname, severity string, labels ...string) Alert {
		return alert(now, alertname, append([]string{"severity", severity, "concerns", "system"}, labels...)...)
	}
	mail := func(name string, alerts ...Alert) Sample { return Sample{name, Data{alerts}} }

	return []Sample{
		mail("effluent-over-limit-critical",
			over("EffluentOverLimit", outlet, "cod", "max", "critical", "no", "value", "4213.5", "limit", "300", "times", "14.0"),
			over("EffluentOverLimit", outlet, "ph", "min", "critical", "no", "value", "4.2", "limit", "6"),
			event("SuddenChange", outlet, "cod", "critical", "4213.5", "410.25")),
		mail("effluent-over-limit",
			over("EffluentOverLimit", outlet, "tss", "max", "warning", "no", "value", "286.5", "limit", "200", "times", "1.4", "verified", "true")),
		mail("river-over-limit-critical",
			over("RiverOverLimit", river, "bod", "max", "critical", "no", append(class2, "value", "72.25", "limit", "3", "times", "24.1")...)),
		mail("river-over-limit",
			over("RiverOverLimit", river, "do", "min", "warning", "no", append(class2, "value", "2.1", "limit", "4", "times", "1.9", "flag", "3")...),
			over("RiverOverLimit", river, "total_coliform", "max", "warning", "no", append(class2, "value", "1.6e+06", "limit", "5000", "times", "320.0", "flag", "2")...)),
		mail("ph-over-limit",
			over("EffluentOverLimit", outlet, "ph", "max", "warning", "no", "value", "9.42", "limit", "9", "verified", "", "law_id", "batas stasiun ini sendiri", "law_en", "this station's own limit")),
		mail("daily-mean-over-limit", func() Alert {
			a := over("EffluentOverLimit", outlet, "cod", "max", "warning", "no", "value", "122.72727272727269", "limit", "120", "times", "1.0", "law_id", "Standar efluen seragam Jepang", "law_en", "Japan, uniform effluent standards")
			a.Labels["statistic"] = "daily_mean"
			return a
		}()),
		mail("over-limit-value-unknown",
			over("EffluentOverLimit", outlet, "cod", "max", "warning", "no", "value", "", "limit", "", "sampled", "", "flag", "", "law_id", "", "verified", "")),
		mail("daily-digest",
			over("EffluentOverLimit", outlet, "bod", "max", "warning", "yes", "value", "382.4", "limit", "150", "times", "2.5"),
			over("RiverOverLimit", river, "bod", "max", "warning", "yes", append(class2, "value", "7.9", "limit", "3", "times", "2.6")...),
			over("EffluentOverLimit", outlet, "cod", "max", "critical", "yes", "value", "3881.2", "limit", "300", "times", "12.9"),
			over("RiverOverLimit", river, "nh3n", "max", "warning", "yes", append(class2, "value", "0.4125", "limit", "0.2", "times", "2.1")...)),
		mail("treatment-upset",
			event("TreatmentUpset", outlet, "cod", "critical", "1893", "410.25")),
		mail("sudden-change",
			limited(event("SuddenChange", river, "cod", "critical", "912", "64.75"), append(class2, "limit", "25", "times", "36.5", "verified", "false")...),
			event("SuddenChange", river, "ec", "critical", "1480", "420")),
		mail("emergency-over",
			event("EmergencyOver", river, "cod", "info", "71", ""),
			func() Alert {
				a := over("LimitKeptAgain", river, "do", "min", "info", "no", append(class2, "value", "5.1", "limit", "4", "times", "0.8")...)
				a.Labels["told"] = "critical"
				return a
			}()),
		mail("limit-kept-again",
			kept(over("LimitKeptAgain", outlet, "tss", "max", "info", "no", "value", "171", "limit", "200", "times", "0.8")),
			kept(over("LimitKeptAgain", outlet, "ph", "min", "info", "no", "value", "6.9", "limit", "6"))),
		mail("late-exceedance-lab",
			late(over("LateExceedance", outlet, "bod", "max", "warning", "no", "value", "412", "limit", "150"), "lab", 5*24*time.Hour)),
		mail("late-exceedance-sensor",
			late(over("LateExceedance", river, "do", "min", "warning", "no", append(class2, "value", "1.2", "limit", "4")...), "sensor", 7*time.Hour)),
		mail("sensor-silent",
			silent("SensorSilent", "cod", "value", "286.5", "sampled", unix(now, -47*time.Minute)),
			silent("SensorSilent", "nh3n")),
		mail("station-offline", silent("StationOffline", "")),
		mail("sensor-suspect", silent("SensorSuspect", "ph")),
		mail("ingester-down", system("IngesterDown", "critical")),
		mail("database-unavailable", system("DatabaseUnavailable", "warning")),
		mail("disk-filling", system("DiskFilling", "warning")),
		mail("readings-refused", system("ReadingsRefused", "warning", "reason", "bad_time"), system("ReadingsRefused", "warning", "reason", "unknown_station")),
		mail("mail-failing", system("MailFailing", "critical", "reason", "other")),
		mail("other", func() Alert {
			a := system("DiskAlmostFull", "warning")
			a.Annotations["summary"] = "less than 1 GB left on /var"
			return a
		}()),
	}
}

// AsSample returns m with the word that it is no news, in one of [Languages],
// before each of its parts.
func (m Message) AsSample(language string) Message {
	word, note := phrases()["sample_subject"][language], phrases()["sample_note"][language]
	head, body, _ := strings.Cut(m.HTML, "<body")
	tag, rest, _ := strings.Cut(body, ">")
	return Message{
		Subject: word + ": " + m.Subject,
		Text:    note + "\n\n" + m.Text,
		HTML: head + "<body" + tag + ">" +
			`<p style="margin:0; padding:10px 16px; background:#fff3c4; color:#1c2326; font-size:15px; line-height:21px; text-align:center;">` + note + "</p>" + rest,
	}
}

// alert returns an alert that has just begun.
func alert(now time.Time, alertname string, labels ...string) Alert {
	return Alert{
		Status:      "firing",
		Labels:      pairs(append([]string{"alertname", alertname}, labels...)...),
		Annotations: map[string]string{},
		StartsAt:    now.Add(-time.Minute),
	}
}

// pairs returns keys and values as a map; of a key given twice the last counts,
// and an empty value is none.
func pairs(keysAndValues ...string) map[string]string {
	m := make(map[string]string)
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		if m[keysAndValues[i]] = keysAndValues[i+1]; keysAndValues[i+1] == "" {
			delete(m, keysAndValues[i])
		}
	}
	return m
}

func unix(now time.Time, after time.Duration) string {
	return strconv.FormatInt(now.Add(after).Unix(), 10)
}
