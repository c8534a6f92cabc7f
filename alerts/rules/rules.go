// Package rules holds the alerting and recording rules, for Prometheus to read
// from a folder.
package rules

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.yml
var files embed.FS

// Files returns the rule files by name, such as "water.yml", without their tests.
func Files() (map[string][]byte, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	rules := make(map[string][]byte)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "_test.yml") {
			continue
		}
		if rules[e.Name()], err = files.ReadFile(e.Name()); err != nil {
			return nil, err
		}
	}
	return rules, nil
}
