package dashboards

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"tofuwatch/internal/water"
)

// river answers whoever has ten seconds: which stations are fine, over a limit,
// worse than usual, silent; where; since when.
func (k kit) river() *Dashboard {
	b := k.board(riverBoard, "now-24h", "1m")
	b.variables(k.riverVariable())
	b.annotate(`river=~"$river"`, `"station" =~ /.+/`)
	state := stateExpr(`river=~"$river"`)

	counts := k.counts("river_counts", state,
		tally{"state_far_over", stateFarOver, vermillion}, tally{"state_unusual", stateUnusual, purple}, tally{"state_silent", stateSilent, grey},
		tally{"state_over", stateOver, orange}, tally{"state_quiet", stateQuiet, blue})
	b.put(5, 8, counts)
	b.under(4, k.age("river_newest", `time() - max(tofuwatch_reading_timestamp_seconds{method="sensor"})`, k.in.patience().Seconds()))

	list := k.table("river_list",
		nowTable(withName(state, "name, river")).as("state"),
		nowTable(`min by (station) (tofuwatch:age_seconds)`).as("age"),
		nowTable(`max by (station) (tofuwatch:times_limit)`).as("times"),
	)
	list.join("station")
	k.columns(list,
		column{"Value #state", "col_state", []Property{mapped(k.stateTexts(), nothing(k.t("state_silent"), grey)), background()}},
		column{"Value #age", "col_age", []Property{inUnit(seconds), withDecimals(0), mapped(nothing(k.t("never"), grey))}},
		column{"name", "col_place", []Property{linked(k.toStation(k.t("col_station")))}},
		column{"Value #times", "col_times", []Property{inUnit("suffix: ×"), withDecimals(1), mapped(nothing(k.t("without_limit"), ""))}},
		column{"station", "col_station", nil},
	)
	k.sorted(list, "col_state", true)
	b.put(11, 12, list)
	b.put(8, 12, k.riverMap(state))

	b.put(14, 10, k.alerts("river_alerts", `alertname!~"LimitKeptAgain|EmergencyOver"`))

	change := k.table("river_change", historyTable(fmt.Sprintf(`
		SELECT mean("mean") AS "now", mean("day_ago") AS "before", mean("mean") / mean("day_ago") - 1 AS "change"
		FROM "water_quality_hourly"
		WHERE "river" =~ /^${river:regex}$/ AND "method" = 'sensor' AND "parameter" =~ /^(%s)$/ AND "valid" > 0 AND $timeFilter
		GROUP BY "station", "parameter"`, k.concentrations())))
	change.TimeFrom = "4h"
	k.columns(change,
		column{"station", "col_station", []Property{linked(k.toStation(k.t("col_station")))}},
		column{"parameter", "col_parameter", []Property{mapped(k.parameterTexts())}},
		column{"change", "col_change", []Property{inUnit(percent), withDecimals(0), withThresholds(steps("transparent", 0.5, orange, 2.0, vermillion)), byThresholds(), background()}},
		column{"now", "col_now", []Property{withDecimals(1)}},
		column{"before", "col_yesterday", []Property{withDecimals(1)}},
	)
	k.sorted(change, "col_change", true)
	b.put(10, 10, change)

	times := k.series("river_times", "suffix: ×", history(`
		SELECT max("times") FROM "water_quality_hourly"
		WHERE "river" =~ /^${river:regex}$/ AND "method" = 'sensor' AND "judged" > 0 AND $timeFilter
		GROUP BY time($__interval), "station" fill(null)`, "$tag_station"))
	times.Interval = "1h"
	k.hourly(times)
	times.FieldConfig.Defaults.Custom.ScaleDistribution = &Scale{"log", 10}
	limitLine(times, 1)
	b.put(24, 10, times)
	return &b.Dashboard
}

// hourly has a panel of hourly values break its lines where an hour is missing.
func (k kit) hourly(p *Panel) {
	p.FieldConfig.Defaults.Custom.SpanNulls = int64(90 * 60 * 1000)
}

// limitLine draws a dashed line across a time series.
func limitLine(p *Panel, at float64) {
	d := &p.FieldConfig.Defaults
	d.Custom.ThresholdsStyle = &modeOption{"dashed"}
	d.Thresholds = steps("transparent", at, vermillion)
}

// riverMap shows the stations where they are, and the rivers as lines from one
// station to the next. It calls nobody outside: the land comes from a file that
// Grafana itself ships, the rivers from the site file.
func (k kit) riverMap(state string) *Panel {
	p := k.panel("geomap", "river_map",
		nowTable(`(`+withName(state, "name, latitude, longitude")+`) and on (station) tofuwatch_station_info{latitude!=""}`).as("stations"))
	layers := []any{}
	location := map[string]any{"mode": "coords", "latitude": "latitude", "longitude": "longitude"}
	for _, river := range k.rivers() {
		expr := riverExpr(river.stations)
		if expr == "" {
			continue
		}
		id := "river-" + river.id
		p.Targets = append(p.Targets, nowTable(expr).as(id))
		layers = append(layers, map[string]any{
			"type": "route", "name": river.id, "location": location, "tooltip": false,
			"filterData": map[string]any{"id": "byRefId", "options": id},
			"config": map[string]any{"arrow": 1, "style": map[string]any{
				"color": map[string]any{"fixed": skyBlue}, "lineWidth": 3, "opacity": 1, "size": map[string]any{"fixed": 3, "min": 2, "max": 15},
			}},
		})
	}
	layers = append(layers, map[string]any{
		"type": "markers", "name": k.t("col_station"), "location": location, "tooltip": true,
		"filterData": map[string]any{"id": "byRefId", "options": "stations"},
		"config": map[string]any{"showLegend": false, "style": map[string]any{
			"color": map[string]any{"field": k.t("col_state"), "fixed": blue}, "opacity": 0.9,
			"size":   map[string]any{"fixed": 9, "min": 2, "max": 15},
			"symbol": map[string]any{"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
			"text":   map[string]any{"mode": "field", "field": "station", "fixed": ""},
			"textConfig": map[string]any{
				"fontSize": 11, "offsetX": 0, "offsetY": 16, "textAlign": "center", "textBaseline": "middle",
			},
		}},
	})
	lat, lon, zoom := k.view()
	p.Options = map[string]any{
		"view": map[string]any{"id": "coords", "lat": lat, "lon": lon, "zoom": zoom, "allLayers": true},
		"basemap": map[string]any{
			"type": "geojson", "name": "land",
			"config": map[string]any{"src": "public/maps/countries.geojson", "rules": []any{}, "style": map[string]any{
				"color": map[string]any{"fixed": grey}, "opacity": 0.08, "lineWidth": 1,
			}},
		},
		"layers":   layers,
		"controls": map[string]any{"showZoom": true, "mouseWheelZoom": false, "showAttribution": false, "showScale": true},
		"tooltip":  map[string]any{"mode": "details"},
	}
	p.FieldConfig.Defaults.Color = &Color{Mode: "thresholds"}
	p.FieldConfig.Defaults.Thresholds = steps(blue, 1.0, orange, 2.0, grey, 3.0, purple, 4.0, vermillion)
	p.FieldConfig.Defaults.Mappings = []Mapping{k.stateTexts()}
	p.Transformations = []Transformation{
		{"convertFieldType", map[string]any{"conversions": []any{
			map[string]any{"targetField": "latitude", "destinationType": "number"},
			map[string]any{"targetField": "longitude", "destinationType": "number"},
		}}},
		{"sortBy", map[string]any{"sort": []any{map[string]any{"field": "Value #stations"}}}},
		{"organize", map[string]any{
			"excludeByName": map[string]bool{"Time": true}, "indexByName": map[string]int{},
			"renameByName": map[string]string{"Value #stations": k.t("col_state"), "Value": k.t("col_state"), "name": k.t("col_place")},
		}},
	}
	for _, coordinate := range []string{"latitude", "longitude"} {
		p.override(named(coordinate), inUnit("none"), mapped(), withDecimals(4))
	}
	return p
}

// A stretch is a river with the stations on it, in the order of the site file.
type stretch struct {
	id       string
	stations []*water.Station
}

// rivers returns those with two or more stations whose place is known.
func (k kit) rivers() []stretch {
	var all []stretch
	at := make(map[string]int)
	for _, s := range k.in.Stations {
		if s.Kind != water.River || math.IsNaN(s.Latitude) || math.IsNaN(s.Longitude) {
			continue
		}
		if _, ok := at[s.River]; !ok {
			at[s.River] = len(all)
			all = append(all, stretch{id: s.River})
		}
		r := &all[at[s.River]]
		r.stations = append(r.stations, s)
	}
	return all
}

// riverExpr is a query whose answer is a river's course: Grafana has no other way
// to be given a line without a file or the internet. Its value is the order.
func riverExpr(stations []*water.Station) string {
	if len(stations) < 2 {
		return ""
	}
	var points []string
	for i, s := range stations {
		points = append(points, fmt.Sprintf(`label_replace(label_replace(vector(%d), "latitude", %q, "", ""), "longitude", %q, "", "")`,
			i, degrees(s.Latitude), degrees(s.Longitude)))
	}
	return strings.Join(points, " or ")
}

func degrees(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// view returns where the map looks: the middle of the stations, and as near as
// all of them can be seen on a phone.
func (k kit) view() (lat, lon, zoom float64) {
	south, north, west, east := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range k.in.Stations {
		if !math.IsNaN(s.Latitude) && !math.IsNaN(s.Longitude) {
			south, north = min(south, s.Latitude), max(north, s.Latitude)
			west, east = min(west, s.Longitude), max(east, s.Longitude)
		}
	}
	if south > north {
		return 0, 0, 1
	}
	const (
		pixels = 300 // of the map that stations may take
		tile   = 256 // pixels of the whole earth at zoom 0
	)
	wide := max(north-south, east-west, 0.002)
	zoom = math.Floor(10*math.Log2(360/wide*pixels/tile)) / 10
	return (south + north) / 2, (west + east) / 2, min(zoom, 17)
}
