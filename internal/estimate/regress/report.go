package regress

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"tofuwatch/internal/estimate"
	"tofuwatch/internal/water"
)

// Report writes what a plant operator has to know of f, with times in zone.
func (f *Fit) Report(w io.Writer, zone *time.Location) error {
	var b strings.Builder
	m := f.Model
	day := func(t time.Time) string { return t.In(zone).Format(time.DateOnly) }
	fmt.Fprintf(&b, "Estimated BOD of %s (%s), from %s\n\n", m.Station, m.Kind, names(parametersOf(m)))
	fmt.Fprintf(&b, "Pairs            %d, sampled %s to %s, COD %s\n", m.Origin.Pairs, day(m.Origin.First), day(m.Origin.Last), codBy(m.Origin.COD))
	if m.Origin.COD == water.Lab {
		b.WriteString("                 Estimates come from the sensor: they are off by whatever sensor and laboratory differ.\n")
	}
	fmt.Fprintf(&b, "Formula          %s\n", m.Formula())
	for _, in := range m.Inputs {
		fmt.Fprintf(&b, "Holds for        %s %.4g to %.4g; no estimate outside\n", names([]string{in.Parameter}), in.Low, in.High)
	}
	fmt.Fprintf(&b, "Valid            %s to %s\n", day(m.From), day(m.To))
	fmt.Fprintf(&b, "R²               %.2f: %s explains %.0f %% of how BOD varies\n", m.Origin.R2, names(parametersOf(m)), 100*m.Origin.R2)
	middle, most := f.Errors()
	fmt.Fprintf(&b, "Leave one out    a result that the fit had not seen was missed by %.0f %% in the middle case, by up to %.0f %% in 9 of 10\n\n", 100*middle, 100*most)
	f.table(&b)
	f.list(&b, zone)
	b.WriteByte('\n')
	f.scatter(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func parametersOf(m *estimate.Model) []string {
	var list []string
	for _, in := range m.Inputs {
		list = append(list, in.Parameter)
	}
	return list
}

func codBy(m water.Method) string {
	if m == water.Sensor {
		return "of the sensor"
	}
	return "of the laboratory"
}

// table writes what to expect at low, usual and high COD.
func (f *Fit) table(b *strings.Builder) {
	fmt.Fprintf(b, "%8s  %10s  %s\n", "COD mg/L", "BOD mg/L", "95 of 100 results of the laboratory lie between")
	at := append([]float64(nil), f.Usual...)
	for _, cod := range []float64{f.Model.Inputs[0].Low, f.Usual[0], f.Model.Inputs[0].High} {
		at[0] = cod
		value, low, high := f.Model.Apply(at)
		fmt.Fprintf(b, "%8s  %10s  %s and %s\n", figure(cod), figure(value), figure(low), figure(high))
	}
	for j, in := range f.Model.Inputs[1:] {
		fmt.Fprintf(b, "with %s at its usual %.3g\n", in.Parameter, f.Usual[j+1])
	}
}

// figure writes v with three significant digits, and never as 2.24e+03.
func figure(v float64) string {
	scale := math.Pow(10, 2-math.Floor(math.Log10(v)))
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}

// list writes the outliers.
func (f *Fit) list(b *strings.Builder, zone *time.Location) {
	far := f.Outliers()
	if len(far) == 0 {
		b.WriteString("\nNo outliers.\n")
		return
	}
	b.WriteString("\nOutliers: look each up in the laboratory's report; leave it in unless something was wrong with it\n")
	for _, p := range far {
		fmt.Fprintf(b, "  %s  COD %.4g  BOD %.4g, where the others make one expect %s\n", p.Time.In(zone).Format("2006-01-02 15:04"), p.COD, p.BOD, figure(p.Unseen))
	}
}

// Size of a plot, in characters.
const (
	plotWidth  = 60
	plotHeight = 16
)

// scatter plots BOD against COD, both on a scale of logarithms.
func (f *Fit) scatter(b *strings.Builder) {
	in := f.Model.Inputs[0]
	low, high := math.Inf(1), 0.0
	for _, p := range f.Points {
		low, high = min(low, p.BOD, p.Estimate), max(high, p.BOD, p.Estimate)
	}
	grid := make([][]byte, plotHeight)
	for i := range grid {
		grid[i] = []byte(strings.Repeat(" ", plotWidth))
	}
	put := func(cod, bod float64, mark byte) {
		x := math.Round(math.Log(cod/in.Low) / math.Log(in.High/in.Low) * (plotWidth - 1))
		y := math.Round(math.Log(bod/low) / math.Log(high/low) * (plotHeight - 1))
		if y >= 0 && y < plotHeight {
			grid[plotHeight-1-int(y)][int(x)] = mark
		}
	}
	at := append([]float64(nil), f.Usual...)
	for i := range plotWidth {
		at[0] = in.Low * math.Pow(in.High/in.Low, float64(i)/(plotWidth-1))
		value, _, _ := f.Model.Apply(at)
		put(at[0], value, '.')
	}
	for _, p := range f.Points {
		if !p.Outlier {
			put(p.COD, p.BOD, 'o')
		}
	}
	for _, p := range f.Outliers() {
		put(p.COD, p.BOD, 'X')
	}
	fmt.Fprintf(b, "%8s BOD\n", "")
	for i, row := range grid {
		label := ""
		switch i {
		case 0:
			label = fmt.Sprintf("%.4g", high)
		case plotHeight - 1:
			label = fmt.Sprintf("%.4g", low)
		}
		fmt.Fprintf(b, "%8s |%s\n", label, strings.TrimRight(string(row), " "))
	}
	fmt.Fprintf(b, "%8s +%s COD\n", "", strings.Repeat("-", plotWidth))
	lowest, highest := fmt.Sprintf("%.4g", in.Low), fmt.Sprintf("%.4g", in.High)
	fmt.Fprintf(b, "%10s%s%s%s\n", "", lowest, strings.Repeat(" ", plotWidth-len(lowest)-len(highest)), highest)
	fmt.Fprintf(b, "%10so a pair   X an outlier   . the formula; both scales logarithmic\n", "")
}
