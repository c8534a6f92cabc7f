package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
)

// A ruleSet is the groups of rules. Prometheus evaluates each group by a clock of
// its own; here all that are due are evaluated one after the other, those first
// whose results others read, so that one pass leads from a reading to an alert.
type ruleSet struct {
	groups []*ruleGroup
	pass   time.Duration
}

// A ruleGroup is a group and what was done with it.
type ruleGroup struct {
	*rules.Group
	evaluated time.Time // zero: never
	restored  bool      // the alerts know how long they have waited
}

// loadRules loads the rule files. A group without an interval of its own belongs
// to every pass; passes are at most that far apart.
func loadRules(files map[string][]byte, pass time.Duration, o *rules.ManagerOptions) (*ruleSet, error) {
	names := slices.Sorted(maps.Keys(files))
	o.GroupLoader = ruleLoader{files, o.Parser, o.Logger}
	groups, faults := rules.NewManager(o).LoadGroups(pass, labels.EmptyLabels(), "", nil, false, names...)
	if faults != nil {
		return nil, fmt.Errorf("load rules: %w", errors.Join(faults...))
	}
	s := &ruleSet{pass: pass}
	for _, g := range inOrder(slices.SortedFunc(maps.Values(groups), func(a, b *rules.Group) int {
		return cmp.Or(cmp.Compare(a.File(), b.File()), cmp.Compare(a.Name(), b.Name()))
	})) {
		s.groups = append(s.groups, &ruleGroup{Group: g})
	}
	return s, nil
}

// ruleLoader is the rules.GroupLoader of files by name.
type ruleLoader struct {
	files  map[string][]byte
	parser parser.Parser
	log    *slog.Logger
}

// Load reads one file.
func (l ruleLoader) Load(name string, lax bool, scheme model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	groups, faults := rulefmt.Parse(l.files[name], lax, scheme, l.parser, l.log)
	for i, fault := range faults {
		faults[i] = fmt.Errorf("%s: %w", name, fault)
	}
	return groups, faults
}

// Parse reads an expression.
func (l ruleLoader) Parse(query string) (parser.Expr, error) { return l.parser.ParseExpr(query) }

// inOrder returns groups so that each follows those whose results it reads; where
// two read each other's, their order remains.
func inOrder(groups []*rules.Group) []*rules.Group {
	recordedBy := make(map[string]*rules.Group)
	for _, g := range groups {
		for _, r := range g.Rules() {
			if _, ok := r.(*rules.RecordingRule); ok {
				recordedBy[r.Name()] = g
			}
		}
	}
	var ordered []*rules.Group
	visited := make(map[*rules.Group]bool)
	var visit func(*rules.Group)
	visit = func(g *rules.Group) {
		if visited[g] {
			return
		}
		visited[g] = true
		for _, r := range g.Rules() {
			for _, name := range metricsOf(r.Query()) {
				if from := recordedBy[name]; from != nil {
					visit(from)
				}
			}
		}
		ordered = append(ordered, g)
	}
	for _, g := range groups {
		visit(g)
	}
	return ordered
}

// metricsOf returns the names of the metrics that an expression reads.
func metricsOf(e parser.Expr) []string {
	var names []string
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			names = append(names, selector.Name)
		}
		return nil
	})
	return names
}

// evaluate evaluates the groups that are due.
func (s *ruleSet) evaluate(ctx context.Context, now time.Time) {
	for _, g := range s.groups {
		if g.Interval() > s.pass && now.Truncate(g.Interval()).Equal(g.evaluated.Truncate(g.Interval())) {
			continue
		}
		rules.DefaultEvalIterationFunc(ctx, g.Group, now)
		// As in Prometheus, not before the second time: alerts may depend on what
		// is recorded in the first.
		if !g.restored && !g.evaluated.IsZero() {
			g.RestoreForState(now)
			g.restored = true
		}
		g.evaluated = now
	}
}

// RuleGroups returns all groups.
func (s *ruleSet) RuleGroups() []*rules.Group {
	all := make([]*rules.Group, len(s.groups))
	for i, g := range s.groups {
		all[i] = g.Group
	}
	return all
}

// AlertingRules returns the rules that raise alerts.
func (s *ruleSet) AlertingRules() []*rules.AlertingRule {
	var all []*rules.AlertingRule
	for _, g := range s.groups {
		all = append(all, g.AlertingRules()...)
	}
	return all
}
