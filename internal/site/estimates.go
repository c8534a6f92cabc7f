package site

import (
	"errors"
	"time"

	"tofuwatch/internal/estimate"
	"tofuwatch/internal/strict"
	"tofuwatch/internal/water"
)

// estimates reads the models of a station. The faults of a model's file are told
// where the site file names it, with their own file and line.
func (l *loader) estimates(v strict.Value, st *water.Station) []*estimate.Model {
	var models []*estimate.Model
	var paths []string // where each of models is
	if v.IsList() && len(v.Items()) == 0 {
		v.Fault("is empty; want at least one {parameter: bod, model_file: …}, or leave the key out")
	}
	for _, item := range v.Items() {
		s := item.Section("parameter", "model_file")
		parameter := ""
		strict.Text(s.Key("parameter").Required("what is estimated: "+estimate.BOD), &parameter, "text", strict.OneOf("estimate of", estimate.BOD))
		file := s.Key("model_file").Required("what tofuwatch fit bod wrote, for example models/ipal-01-bod-2026-11.yaml")
		m := l.model(file)
		if m == nil {
			continue
		}
		switch {
		case parameter != "" && m.Parameter != parameter:
			file.Fault("estimates %s; want a model of %s", m.Parameter, parameter)
		case st.ID != "" && m.Station != st.ID:
			file.Fault("was fitted for station %s; want one that was fitted for %s: a relation holds for the water it was fitted from", strict.Quote(m.Station), st.ID)
		case st.Kind != "" && m.Kind != st.Kind:
			file.Fault("was fitted for %s, and this station is %s; want one that was fitted for %s", m.Kind, st.Kind, st.Kind)
		}
		for i, other := range models {
			switch {
			case m.ID == other.ID:
				file.Fault("is %s, which %s is too; want each model once, under a name of its own", m.ID, paths[i])
			case m.Parameter == other.Parameter && m.From.Before(other.To) && other.From.Before(m.To):
				file.Fault("is valid from %s to %s, and %s from %s to %s; want one to end where the next begins: fit again with --valid-from and --valid-to",
					day(m.From), day(m.To), paths[i], day(other.From), day(other.To))
			}
		}
		models, paths = append(models, m), append(paths, item.Path())
	}
	return models
}

func day(t time.Time) string { return t.Format(time.DateOnly) }

// model reads the model file that v names, or returns nil.
func (l *loader) model(v strict.Value) *estimate.Model {
	_, data, ok := l.file(v, "what tofuwatch fit bod wrote")
	if !ok {
		return nil
	}
	m, err := estimate.Parse(v.Written(), data)
	if err != nil {
		faults, _ := errors.AsType[strict.Faults](err) // Parse returns no other
		for _, f := range faults {
			v.Fault("%v", f)
		}
		return nil
	}
	return m
}
