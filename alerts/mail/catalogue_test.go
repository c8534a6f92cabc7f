package mail

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tofuwatch/alerts/rules"
)

var nan = math.NaN()

func TestCatalogueFaults(t *testing.T) {
	for name, test := range map[string]struct{ data, want string }{
		"a language is missing":    {"a: {id: satu}", "phrase a: got 1 languages, want id and en"},
		"another language":         {"a: {id: satu, de: eins}", `phrase a: has no "en"`},
		"an empty phrase":          {`a: {id: "", en: one}`, `phrase a: has no "id"`},
		"what HTML would take up":  {"a: {id: satu, en: <b>one</b>}", `phrase a: "<b>one</b>": want one line without <, >, & and {{`},
		"a piece of a template":    {`a: {id: satu, en: "{{ one }}"}`, `phrase a: "{{ one }}": want one line without <, >, & and {{`},
		"the start of an action":   {`a: {id: "{{", en: one}`, `phrase a: "{{": want one line without <, >, & and {{`},
		"more than one line":       {"a: {id: satu, en: \"one\\ntwo\"}", `phrase a: "one\ntwo": want one line without <, >, & and {{`},
		"a comma that was a comma": {"a: {id: satu, en: one, two}", "phrase a: got 3 languages, want id and en"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseCatalogue([]byte(test.data)); err == nil || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
		})
	}
}

// Every phrase is used, so that a translator's time is.
func TestEveryPhraseIsUsed(t *testing.T) {
	used := mailTemplate
	for _, k := range kinds {
		for _, key := range slices.Concat(k.lead, k.do, k.ask, []string{k.tag, k.subject}) {
			used += `"` + key + `" `
		}
	}
	facts, err := (&language{Code: "en", site: testSite(t)}).Facts()
	if err != nil || len(facts) == 0 {
		t.Fatalf("got facts %v, %v, want some", facts, err)
	}
	// What template.go puts together, or names itself.
	byCode := regexp.MustCompile(`^(parameter|meaning|unit|flag|reason|kind|month|label|sample)_`)
	named := []string{"place_river", "place_drains", "usual_about", "subject_late_lab", "language"}
	for key := range phrases() {
		if !strings.Contains(used, `"`+key+`"`) && !byCode.MatchString(key) && !slices.Contains(named, key) {
			t.Errorf("phrase %s: got no use of it, want one or no phrase", key)
		}
	}
}

func TestEveryParameterHasWords(t *testing.T) {
	for _, p := range testSite(t).Parameters {
		if p.Code == "alkalinity" {
			continue // the site's own
		}
		for _, key := range []string{"parameter_" + p.Code, "meaning_" + p.Code} {
			if _, ok := phrases()[key]; !ok {
				t.Errorf("got no phrase %s, want one", key)
			}
		}
	}
}

// What the mail tells stands in the annotations of the rules, and there is a
// kind of mail for every alert.
func TestRulesTellWhatTheMailTells(t *testing.T) {
	files, err := rules.Files()
	if err != nil {
		t.Fatal(err)
	}
	limit := []string{"value", "sampled", "flag", "limit", "times", "law_id", "law_en", "verified"}
	want := map[string][]string{
		"EffluentOverLimit": limit, "RiverOverLimit": limit, "LimitKeptAgain": limit,
		"SuddenChange":   {"value", "sampled", "flag", "usual"},
		"TreatmentUpset": {"value", "sampled", "flag", "usual"},
		"EmergencyOver":  {"value", "sampled", "flag"},
		"LateExceedance": {"value", "sampled", "limit", "law_id", "law_en", "verified"},
		"SensorSilent":   {"value", "sampled"},
		"StationOffline": nil, "SensorSuspect": nil,
		"IngesterDown": nil, "DatabaseUnavailable": nil, "DiskFilling": nil, "ReadingsRefused": nil, "MailFailing": nil,
	}
	known := regexp.MustCompile((&language{Code: "en"}).KnownAlerts())
	seen := make(map[string]bool)
	for name, data := range files {
		var file struct {
			Groups []struct {
				Rules []struct {
					Alert       string
					Annotations map[string]string
				}
			}
		}
		if err := yaml.Unmarshal(data, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				if r.Alert == "" {
					continue
				}
				seen[r.Alert] = true
				if !known.MatchString(r.Alert) {
					t.Errorf("%s: got alert %s, of which the mail knows nothing", name, r.Alert)
				}
				for _, annotation := range want[r.Alert] {
					if r.Annotations[annotation] == "" {
						t.Errorf("%s: %s: got no annotation %s, which its mail tells", name, r.Alert, annotation)
					}
				}
			}
		}
	}
	for alert := range want {
		if !seen[alert] {
			t.Errorf("got no rule for %s, which the mail has words for", alert)
		}
	}
}
