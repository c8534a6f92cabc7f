package mail

import (
	"bytes"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"
)

// Data is what Alertmanager gives to its templates, as far as ours use it.
// Marshalled as JSON it is what "amtool template render" reads.
type Data struct {
	Alerts Alerts `json:"alerts"`
}

// Alerts are the alerts of one notification.
type Alerts []Alert

// Firing returns those that fire. No others come to us: what has ended is not
// notified.
func (as Alerts) Firing() []Alert {
	var firing []Alert
	for _, a := range as {
		if a.Status == "firing" {
			firing = append(firing, a)
		}
	}
	return firing
}

// An Alert is one alert of a notification.
type Alert struct {
	Status      string            `json:"status"` // "firing"
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
}

// A Message is a mail in one language.
type Message struct {
	Subject string
	Text    string
	HTML    string
}

// A Renderer makes messages from templates, as Alertmanager would.
type Renderer struct {
	text *template.Template
	html *htmltemplate.Template
}

// functions are those of Alertmanager 0.28 that our templates use.
var functions = map[string]any{
	"match":       regexp.MatchString,
	"stringSlice": func(s ...string) []string { return s },
	"date":        func(layout string, t time.Time) string { return t.Format(layout) },
	"reReplaceAll": func(pattern, replacement, text string) (string, error) {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return "", err
		}
		return re.ReplaceAllString(text, replacement), nil
	},
	"tz": func(name string, t time.Time) (time.Time, error) {
		zone, err := time.LoadLocation(name)
		return t.In(zone), err
	},
}

// NewRenderer returns a renderer of the mail of a site.
func NewRenderer(s Site) (*Renderer, error) {
	templates, err := Templates(s)
	if err != nil {
		return nil, err
	}
	text, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(string(templates))
	if err != nil {
		return nil, fmt.Errorf("parse text templates: %w", err)
	}
	html, err := htmltemplate.New("").Option("missingkey=zero").Funcs(functions).Parse(string(templates))
	if err != nil {
		return nil, fmt.Errorf("parse HTML templates: %w", err)
	}
	return &Renderer{text, html}, nil
}

// Message returns the mail that tells of alerts, in one of [Languages].
func (r *Renderer) Message(language string, d Data) (Message, error) {
	if !slices.Contains(Languages(), language) {
		return Message{}, fmt.Errorf("no language %q; have %s", language, strings.Join(Languages(), ", "))
	}
	if len(d.Alerts.Firing()) == 0 {
		return Message{}, errors.New("no alert fires: of one that ended there is no mail")
	}
	name := "tofuwatch." + language + "."
	var subject, text, html bytes.Buffer
	err := errors.Join(
		r.text.ExecuteTemplate(&subject, name+"subject", d),
		r.text.ExecuteTemplate(&text, name+"text", d),
		r.html.ExecuteTemplate(&html, name+"html", d),
	)
	if err != nil {
		return Message{}, fmt.Errorf("render mail: %w", err)
	}
	return Message{subject.String(), text.String(), html.String()}, nil
}
