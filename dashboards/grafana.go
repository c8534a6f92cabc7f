package dashboards

// The types of this file are Grafana's classic dashboard JSON, as far as it is
// used here: schemaVersion 39, which Grafana 10 to 13 load.

const schemaVersion = 39

// A Dashboard is one file.
type Dashboard struct {
	UID           string      `json:"uid"`
	Title         string      `json:"title"`
	Description   string      `json:"description"`
	Tags          []string    `json:"tags"`
	SchemaVersion int         `json:"schemaVersion"`
	Editable      bool        `json:"editable"`
	GraphTooltip  int         `json:"graphTooltip"` // 1: one crosshair for all panels
	Timezone      string      `json:"timezone"`
	Refresh       string      `json:"refresh"`
	Time          timeRange   `json:"time"`
	Templating    variables   `json:"templating"`
	Annotations   annotations `json:"annotations"`
	Links         []Link      `json:"links"`
	Panels        []*Panel    `json:"panels"`
}

type timeRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type variables struct {
	List []Variable `json:"list"`
}

type annotations struct {
	List []Annotation `json:"list"`
}

// A Ref names a data source or another place that data comes from.
type Ref struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// A Variable is a choice at the top of a dashboard.
type Variable struct {
	Name        string `json:"name"`
	Label       string `json:"label"`
	Description string `json:"description,omitempty"`
	Type        string `json:"type"` // query
	Datasource  *Ref   `json:"datasource,omitempty"`
	Definition  string `json:"definition,omitempty"`
	Query       any    `json:"query,omitempty"`
	Regex       string `json:"regex,omitempty"`
	Refresh     int    `json:"refresh,omitempty"` // 2: whenever the time range changes
	Sort        int    `json:"sort,omitempty"`    // 1: by text
	Hide        int    `json:"hide,omitempty"`    // 2: wholly
	Multi       bool   `json:"multi"`
	IncludeAll  bool   `json:"includeAll"`
	Current     any    `json:"current,omitempty"`
}

// promVariable is the Query of a [Variable] that Prometheus answers.
type promVariable struct {
	Query string `json:"query"`
	RefID string `json:"refId"`
}

// An Annotation marks moments in every time series.
type Annotation struct {
	Name          string         `json:"name"`
	Datasource    *Ref           `json:"datasource"`
	Enable        bool           `json:"enable"`
	IconColor     string         `json:"iconColor"`
	Expr          string         `json:"expr,omitempty"` // PromQL
	Step          string         `json:"step,omitempty"`
	TitleFormat   string         `json:"titleFormat,omitempty"`
	TextFormat    string         `json:"textFormat,omitempty"`
	Query         string         `json:"query,omitempty"` // InfluxQL
	TextColumn    string         `json:"textColumn,omitempty"`
	TagsColumn    string         `json:"tagsColumn,omitempty"`
	TimeEndColumn string         `json:"timeEndColumn,omitempty"`
	Target        map[string]any `json:"target,omitempty"`
	BuiltIn       int            `json:"builtIn,omitempty"`
	Hide          bool           `json:"hide,omitempty"`
	Type          string         `json:"type,omitempty"`
}

// A Link leads to other dashboards.
type Link struct {
	Title       string   `json:"title"`
	Type        string   `json:"type,omitempty"` // dashboards, in the head of a dashboard
	Tags        []string `json:"tags,omitempty"`
	URL         string   `json:"url,omitempty"`
	AsDropdown  bool     `json:"asDropdown,omitempty"`
	IncludeVars bool     `json:"includeVars,omitempty"`
	KeepTime    bool     `json:"keepTime,omitempty"`
}

// A Panel is one picture, or a heading that is one line high.
type Panel struct {
	ID              int              `json:"id"`
	Type            string           `json:"type"`
	Title           string           `json:"title"`
	Description     string           `json:"description,omitempty"`
	GridPos         GridPos          `json:"gridPos"`
	Datasource      *Ref             `json:"datasource,omitempty"`
	Targets         []Target         `json:"targets,omitempty"`
	FieldConfig     *FieldConfig     `json:"fieldConfig,omitempty"`
	Options         any              `json:"options,omitempty"`
	Transformations []Transformation `json:"transformations,omitempty"`
	Links           []Link           `json:"links,omitempty"`
	Interval        string           `json:"interval,omitempty"` // the least $__interval
	MaxDataPoints   int              `json:"maxDataPoints,omitempty"`
	TimeFrom        string           `json:"timeFrom,omitempty"` // in place of the dashboard's range
	Repeat          string           `json:"repeat,omitempty"`
	RepeatDirection string           `json:"repeatDirection,omitempty"`
	MaxPerRow       int              `json:"maxPerRow,omitempty"`
	Collapsed       *bool            `json:"collapsed,omitempty"` // of a heading
	Panels          []*Panel         `json:"panels,omitempty"`    // of a heading that is collapsed
}

// GridPos is where a panel is: 24 units are the width of a page.
type GridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

// A Target is one query.
type Target struct {
	RefID      string `json:"refId"`
	Datasource Ref    `json:"datasource"`

	Expr         string `json:"expr,omitempty"` // PromQL
	LegendFormat string `json:"legendFormat,omitempty"`
	Instant      bool   `json:"instant,omitempty"`
	Range        bool   `json:"range,omitempty"`
	Format       string `json:"format,omitempty"` // table or time_series

	Query        string `json:"query,omitempty"` // InfluxQL
	RawQuery     bool   `json:"rawQuery,omitempty"`
	ResultFormat string `json:"resultFormat,omitempty"` // table or time_series
	Alias        string `json:"alias,omitempty"`
}

// FieldConfig says how values are shown.
type FieldConfig struct {
	Defaults  Field      `json:"defaults"`
	Overrides []Override `json:"overrides"`
}

// A Field is how a series or a column is shown.
type Field struct {
	Unit        string      `json:"unit,omitempty"`
	Decimals    *int        `json:"decimals,omitempty"`
	DisplayName string      `json:"displayName,omitempty"`
	NoValue     string      `json:"noValue,omitempty"`
	Min         *float64    `json:"min,omitempty"`
	Max         *float64    `json:"max,omitempty"`
	Color       *Color      `json:"color,omitempty"`
	Thresholds  *Thresholds `json:"thresholds,omitempty"`
	Mappings    []Mapping   `json:"mappings,omitempty"`
	Links       []Link      `json:"links,omitempty"`
	Custom      *Custom     `json:"custom,omitempty"`
}

// Color is what colours are taken from.
type Color struct {
	Mode       string `json:"mode"`
	FixedColor string `json:"fixedColor,omitempty"`
}

// Thresholds are the steps of the mode "thresholds", and lines across a time series.
type Thresholds struct {
	Mode  string `json:"mode"`
	Steps []Step `json:"steps"`
}

// A Step is the colour from a value on.
type Step struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"` // nil: from the lowest
}

// A Mapping shows a text in place of a value.
type Mapping struct {
	Type    string `json:"type"` // value or special
	Options any    `json:"options"`
}

// A MappedText is what a Mapping shows.
type MappedText struct {
	Text  string `json:"text"`
	Color string `json:"color,omitempty"`
	Index int    `json:"index"`
}

// Custom is what one type of panel has besides.
type Custom struct {
	// Of time series and bar charts.
	DrawStyle         string       `json:"drawStyle,omitempty"`
	LineInterpolation string       `json:"lineInterpolation,omitempty"`
	LineWidth         *int         `json:"lineWidth,omitempty"`
	LineStyle         *LineStyle   `json:"lineStyle,omitempty"`
	FillOpacity       *int         `json:"fillOpacity,omitempty"`
	PointSize         int          `json:"pointSize,omitempty"`
	ShowPoints        string       `json:"showPoints,omitempty"`
	SpanNulls         any          `json:"spanNulls,omitempty"` // milliseconds: a longer gap is shown as one
	AxisLabel         string       `json:"axisLabel,omitempty"`
	ScaleDistribution *Scale       `json:"scaleDistribution,omitempty"`
	ThresholdsStyle   *modeOption  `json:"thresholdsStyle,omitempty"`
	Stacking          *Stacking    `json:"stacking,omitempty"`
	HideFrom          *hideFrom    `json:"hideFrom,omitempty"`
	CellOptions       *CellOptions `json:"cellOptions,omitempty"` // of tables
	Width             int          `json:"width,omitempty"`
	MinWidth          int          `json:"minWidth,omitempty"`
	Align             string       `json:"align,omitempty"`
	Filterable        bool         `json:"filterable,omitempty"`
	WrapHeaderText    bool         `json:"wrapHeaderText,omitempty"`
}

// LineStyle makes a line dashed.
type LineStyle struct {
	Fill string `json:"fill"`
	Dash []int  `json:"dash"`
}

// Scale is an axis' scale.
type Scale struct {
	Type string `json:"type"`
	Log  int    `json:"log,omitempty"`
}

type modeOption struct {
	Mode string `json:"mode"`
}

// Stacking puts series on top of each other.
type Stacking struct {
	Mode  string `json:"mode"`
	Group string `json:"group"`
}

type hideFrom struct {
	Legend  bool `json:"legend"`
	Tooltip bool `json:"tooltip"`
	Viz     bool `json:"viz"`
}

// CellOptions are how a table's cell is drawn.
type CellOptions struct {
	Type string `json:"type"`
	Mode string `json:"mode,omitempty"`
}

// An Override is how the fields that match are shown otherwise.
type Override struct {
	Matcher    Matcher    `json:"matcher"`
	Properties []Property `json:"properties"`
}

// A Matcher says which fields.
type Matcher struct {
	ID      string `json:"id"`
	Options any    `json:"options"`
}

// A Property is one setting of a field.
type Property struct {
	ID    string `json:"id"`
	Value any    `json:"value"`
}

// A Transformation changes tables before they are shown.
type Transformation struct {
	ID      string `json:"id"`
	Options any    `json:"options"`
}
