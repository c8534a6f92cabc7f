package simulate

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tofuwatch/internal/water"
)

// SiteOptions are what a site file says besides the stations. What is empty is
// what the example in the documentation has, or absent.
type SiteOptions struct {
	DataDir      string // "data": beside the file
	Listen       string // 127.0.0.1:9464
	Broker       string // tcp://127.0.0.1:1883
	Username     string // none
	PasswordFile string // none
	InfluxDB     string // http://127.0.0.1:8086
	Org          string // tofuwatch
	Bucket       string // water
	TokenFile    string // none
}

// SiteFile returns a whole site file for the stations of w. It ends with them:
// recipients and smtp can be appended.
func SiteFile(w *World, o SiteOptions) []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	optional := func(key, value string) {
		if value != "" {
			line("  %s: %q", key, value)
		}
	}
	line("# The stations that \"tofuwatch simulate\" plays. The rivers are real; stations,")
	line("# plant and values are made up.")
	line("site: semarang-simulated")
	line("time_zone: Asia/Jakarta")
	line("data_dir: %q", cmp.Or(o.DataDir, "data"))
	line("http: {listen: %q}", cmp.Or(o.Listen, "127.0.0.1:9464"))
	line("")
	line("mqtt:")
	line("  broker: %q", cmp.Or(o.Broker, "tcp://127.0.0.1:1883"))
	line("  client_id: tofuwatch-semarang-simulated")
	optional("username", o.Username)
	optional("password_file", o.PasswordFile)
	line("")
	line("influxdb:")
	line("  url: %q", cmp.Or(o.InfluxDB, "http://127.0.0.1:8086"))
	line("  org: %q", cmp.Or(o.Org, "tofuwatch"))
	line("  bucket: %q", cmp.Or(o.Bucket, "water"))
	optional("token_file", o.TokenFile)
	line("")
	line("stations:")
	for i, s := range w.stations {
		l := w.loggers[i]
		line("  - id: %s", s.ID)
		line("    name: %q", s.Name)
		line("    river: %s", s.River)
		line("    kind: %s", s.Kind)
		line("    latitude: %s", degrees(s.Latitude))
		line("    longitude: %s", degrees(s.Longitude))
		switch s.Kind {
		case water.Effluent:
			line("    standard: [id-permenlh-5-2014-tofu, id-jateng-5-2012-tofu]")
		case water.River:
			line("    standard: id-pp-22-2021-class-2")
		}
		if s.ID == "ipal-01" && len(w.stations) > 1 {
			line("    treatment: {influent: ipal-01-in, retention: 24h}")
		}
		line("    interval: %s", short(l.interval))
		line("    sentinels: [-9999, 7999]")
		line("    parameters:")
		for _, i := range l.instruments {
			if i.make.highest > 0 {
				line("      %s: {range: [0, %g]}", i.make.code, i.make.highest)
				continue
			}
			line("      %s: {}", i.make.code)
		}
	}
	return b.Bytes()
}

func degrees(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// short returns d as people write it: 2m, not 2m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
