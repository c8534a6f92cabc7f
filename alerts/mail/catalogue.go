package mail

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Languages are those that a mail can be in, as a site file spells them.
func Languages() []string { return []string{"id", "en"} }

//go:embed catalogue.yaml
var catalogueYAML []byte

// A catalogue has every phrase of the mail by its key, in each language.
type catalogue map[string]map[string]string

// phrases is the catalogue. It is part of the program, and its tests read it
// too: a fault in it is a fault of the program.
var phrases = sync.OnceValue(func() catalogue {
	c, err := parseCatalogue(catalogueYAML)
	if err != nil {
		panic(err)
	}
	return c
})

// parseCatalogue reads a catalogue. Every phrase is one line in every language,
// and means the same to text and to HTML.
func parseCatalogue(data []byte) (catalogue, error) {
	var c catalogue
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	for key, texts := range c {
		if len(texts) != len(Languages()) {
			return nil, fmt.Errorf("phrase %s: got %d languages, want %s", key, len(texts), strings.Join(Languages(), " and "))
		}
		for _, language := range Languages() {
			switch text := texts[language]; {
			case strings.TrimSpace(text) == "":
				return nil, fmt.Errorf("phrase %s: has no %q", key, language)
			case strings.ContainsAny(text, "<>&\r\n"), strings.Contains(text, "{{"):
				return nil, fmt.Errorf("phrase %s: %q: want one line without <, >, & and {{", key, text)
			}
		}
	}
	return c, nil
}
