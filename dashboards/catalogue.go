package dashboards

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Languages are those that dashboards can be in, as a site file spells them; the
// first one is the home page's.
func Languages() []string { return []string{"id", "en"} }

//go:embed catalogue.yaml
var catalogueYAML []byte

// phrases is the catalogue, by key and language. It is part of the program, and
// every test renders with it: a fault in it is a fault of the program.
var phrases = sync.OnceValue(func() map[string]map[string]string {
	c, err := parseCatalogue(catalogueYAML)
	if err != nil {
		panic(err)
	}
	return c
})

// parseCatalogue reads a catalogue in which every phrase has every language.
func parseCatalogue(data []byte) (map[string]map[string]string, error) {
	var c map[string]map[string]string
	if err := yaml.NewDecoder(bytes.NewReader(data)).Decode(&c); err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	for key, texts := range c {
		for _, language := range Languages() {
			if strings.TrimSpace(texts[language]) == "" {
				return nil, fmt.Errorf("phrase %s: has no %q", key, language)
			}
		}
		if len(texts) != len(Languages()) {
			return nil, fmt.Errorf("phrase %s: got %d languages, want %s", key, len(texts), strings.Join(Languages(), " and "))
		}
	}
	return c, nil
}

// A language speaks one of [Languages].
type language string

// t returns the phrase of a key.
func (l language) t(key string) string {
	text, ok := Phrase(string(l), key)
	if !ok {
		panic(fmt.Sprintf("no phrase %q in %s", key, l)) // in a test, which renders everything
	}
	return text
}

// Phrase returns the phrase of a key in a language, and whether there is one.
func Phrase(lang, key string) (string, bool) {
	text, ok := phrases()[key][lang]
	return text, ok
}
