package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// summary tells in a line of the alerts that fire: each emergency by its
// station, and how many warnings and all-clears there are.
func summary(firing []labels.Labels) string {
	urgent := make(map[string]map[string]bool) // what, by station
	over := make(map[string]bool)              // stations
	warnings := 0
	for _, a := range firing {
		station := a.Get("station")
		switch a.Get("severity") {
		case "critical":
			if a.Get("standing") == "yes" {
				warnings++
				continue
			}
			if urgent[station] == nil {
				urgent[station] = make(map[string]bool)
			}
			what := a.Get("parameter")
			if what == "" {
				what = a.Get(labels.AlertName)
			}
			urgent[station][what] = true
		case "warning":
			warnings++
		case "info":
			if a.Get("standing") == "no" {
				over[station] = true
			}
		}
	}
	var parts []string
	for _, station := range slices.Sorted(maps.Keys(urgent)) {
		what := strings.Join(slices.Sorted(maps.Keys(urgent[station])), ", ")
		if station != "" {
			what = station + " (" + what + ")"
		}
		parts = append(parts, "EMERGENCY "+what)
	}
	if len(over) > 0 {
		parts = append(parts, "all-clear "+strings.Join(slices.Sorted(maps.Keys(over)), ", "))
	}
	switch warnings {
	case 0:
	case 1:
		parts = append(parts, "1 warning")
	default:
		parts = append(parts, fmt.Sprint(warnings, " warnings"))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, "; ")
}
