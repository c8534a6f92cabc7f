package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/testenv"
)

// A dialect is how some of the stations of a network send.
type dialect struct {
	name    string
	source  string // of the site file
	station string // keys that its stations have, beside the usual ones; %s is the device
	// messages are those that say what samples of a station are, one or several
	// each.
	messages func(s talker, samples []measured) []mqttMessage
	// of is what InfluxDB has of a sample, by parameter.
	of func(m measured) map[string]float64
	// Messages that cannot be used, each for one reading: the reason is a key.
	bad map[string]mqttMessage
}

// A talker is a station, and what messages call its device.
type talker struct{ id, device string }

// A measured sample has a number that is unlike any other's.
type measured struct {
	at     time.Time // whole seconds
	number int
}

type mqttMessage struct {
	topic   string
	payload []byte
}

// wib is the zone of a site in Semarang.
var wib = time.FixedZone("WIB", 7*60*60)

func (m measured) local() string { return m.at.In(wib).Format("2006-01-02T15:04:05") }
func (m measured) utc() string   { return m.at.UTC().Format(time.RFC3339) }

// cod and q are what a sample measured: COD in mg/L, and flow in L/s.
func (m measured) cod() float64 { return float64(m.number) }
func (m measured) q() float64   { return float64(m.number%1000) / 8 }

func codAndFlow(m measured) map[string]float64 {
	return map[string]float64{"cod": m.cod(), "flow": m.q() * 3.6}
}

// each returns a message for each sample.
func each(write func(s talker, m measured) mqttMessage) func(talker, []measured) []mqttMessage {
	return func(s talker, samples []measured) []mqttMessage {
		var all []mqttMessage
		for _, m := range samples {
			all = append(all, write(s, m))
		}
		return all
	}
}

// text returns a message that is written like fmt.Sprintf.
func text(topic, format string, args ...any) mqttMessage {
	return mqttMessage{topic, fmt.Appendf(nil, format, args...)}
}

// raw returns a message in which [addressed] puts a talker's names.
func raw(topic, payload string) mqttMessage { return mqttMessage{topic, []byte(payload)} }

// frameOf is one of a DL-CTD10: EC is the sample's number.
func frameOf(s talker, m measured) []byte {
	var number int
	_, _ = fmt.Sscan(s.device, &number) // 0 for a device that has another name
	frame := binary.BigEndian.AppendUint16([]byte{2}, uint16(number))
	for _, word := range []uint16{1, 32768 + 1500, 32768 + 281, uint16(m.number), 0} {
		frame = binary.BigEndian.AppendUint16(frame, word)
	}
	return frame
}

func inFrame(m measured) map[string]float64 {
	return map[string]float64{"level": 1.5, "temperature": 28.1, "ec": float64(uint16(m.number))}
}

var dialects = []dialect{
	{
		name:   "tofuwatch",
		source: `{topic: "tofu/{station}/readings", units: {flow: L/s}}`,
		messages: func(s talker, samples []measured) []mqttMessage {
			var list []string
			for _, m := range samples {
				list = append(list, fmt.Sprintf(`{"time":%d,"COD":"%v","debit":%v,"tss":"-"}`, m.at.Unix(), m.cod(), m.q()))
			}
			return []mqttMessage{text("tofu/"+s.id+"/readings", "[%s]", strings.Join(list, ","))}
		},
		of:  codAndFlow,
		bad: map[string]mqttMessage{"malformed": raw("tofu/%[1]s/readings", `{"cod":`), "bad_time": raw("tofu/%[1]s/readings", `{"time":12,"cod":1}`)},
	},
	{
		name:   "value",
		source: `{topic: "values/{station}/{parameter}", format: value, units: {flow: L/s}}`,
		messages: func(s talker, samples []measured) []mqttMessage {
			var all []mqttMessage
			for _, m := range samples {
				all = append(all, text("values/"+s.id+"/cod", `{"value":%v,"time":"%s"}`, m.cod(), m.utc()),
					text("values/"+s.id+"/debit", `{"value":%v,"time":"%s"}`, m.q(), m.utc()))
			}
			return all
		},
		of:  codAndFlow,
		bad: map[string]mqttMessage{"bad_value": raw("values/%[1]s/cod", `{"value":"ON","time":1795417200}`), "no_time": raw("values/%[1]s/cod", "7.1"), "no_reading": raw("values/%[1]s/rssi", "-57")},
	},
	{
		name:    "chirpstack",
		source:  `{topic: application/+/device/+/event/up, format: chirpstack, fields: {q: flow}, units: {q: L/s}}`,
		station: `device: "%s"`,
		messages: each(func(s talker, m measured) mqttMessage {
			return text("application/1/device/"+s.device+"/event/up", `{"time":"%s","deviceInfo":{"devEui":"%s"},"fCnt":%d,"object":{"cod":%v,"q":%v,"rssi":-57}}`,
				m.utc(), strings.ToUpper(s.device), m.number, m.cod(), m.q())
		}),
		of: codAndFlow,
		bad: map[string]mqttMessage{
			"no_reading":      raw("application/1/device/%[2]s/event/up", `{"time":"2026-11-23T07:00:00Z","deviceInfo":{"devEui":"%[2]s"}}`),
			"unknown_station": raw("application/1/device/ff/event/up", `{"time":"2026-11-23T07:00:00Z","deviceInfo":{"devEui":"ff"},"object":{"cod":1}}`),
		},
	},
	{
		name:    "ttn",
		source:  `{topic: v3/+/devices/+/up, format: ttn}`,
		station: `device: "%s", frames: decentlab-ctd10`,
		messages: each(func(s talker, m measured) mqttMessage {
			return text("v3/tofu@ttn/devices/x/up", `{"end_device_ids":{"device_id":"x","dev_eui":"%s"},"uplink_message":{"f_cnt":%d,"frm_payload":"%s","received_at":"%s"}}`,
				s.device, m.number, base64.StdEncoding.EncodeToString(frameOf(s, m)), m.utc())
		}),
		of:  inFrame,
		bad: map[string]mqttMessage{"malformed": raw("v3/tofu@ttn/devices/x/up", `{"end_device_ids":{"dev_eui":"%[2]s"},"uplink_message":{"frm_payload":"AQ==","received_at":"2026-11-23T07:00:00Z"}}`)},
	},
	{
		name:    "senml-json",
		source:  `{topic: senml/+, format: senml-json, units: {flow: L/s}}`,
		station: `device: "urn:dev:mac:%s"`,
		messages: func(s talker, samples []measured) []mqttMessage {
			list := []string{fmt.Sprintf(`{"bn":"urn:dev:mac:%s:","bt":%d,"bu":"mg/L"}`, s.device, samples[0].at.Unix())}
			for _, m := range samples {
				after := m.at.Sub(samples[0].at).Seconds()
				list = append(list, fmt.Sprintf(`{"n":"cod","v":%v,"t":%v},{"n":"flow","u":"l/s","v":%v,"t":%v},{"n":"tss","vs":"-","t":%v}`, m.cod(), after, m.q(), after, after))
			}
			return []mqttMessage{text("senml/gateway", "[%s]", strings.Join(list, ","))}
		},
		of:  codAndFlow,
		bad: map[string]mqttMessage{"bad_time": raw("senml/gateway", `[{"bn":"urn:dev:mac:%[2]s:","bt":946684800,"n":"cod","v":1}]`)},
	},
	{
		name:    "senml-cbor",
		source:  `{topic: senml/+/cbor, format: senml-cbor}`,
		station: `device: "urn:dev:mac:%s"`,
		messages: func(s talker, samples []measured) []mqttMessage {
			pack := []map[int]any{{-2: "urn:dev:mac:" + s.device + ":", -3: samples[0].at.Unix()}}
			for _, m := range samples {
				after := m.at.Sub(samples[0].at).Seconds()
				pack = append(pack, map[int]any{0: "cod", 2: m.cod(), 6: after}, map[int]any{0: "flow", 1: "m3/h", 2: m.q() * 3.6, 6: after})
			}
			data, err := cbor.Marshal(pack)
			if err != nil {
				panic(err)
			}
			return []mqttMessage{{"senml/gateway/cbor", data}}
		},
		of:  codAndFlow,
		bad: map[string]mqttMessage{"malformed": raw("senml/gateway/cbor", "[]")},
	},
	{
		name:    "campbell-csijson",
		source:  `{topic: campbell/+, format: campbell-csijson, fields: {COD_mgl: cod, Q_lps: flow}, units: {Q_lps: L/s}}`,
		station: `device: "%s"`,
		messages: func(s talker, samples []measured) []mqttMessage {
			var rows []string
			for i, m := range samples {
				rows = append(rows, fmt.Sprintf(`{"time":"%s","no":%d,"vals":[13.2,%v,%v,"NAN"]}`, m.local(), i, m.cod(), m.q()))
			}
			return []mqttMessage{text("campbell/table", `{"head":{"environment":{"station_name":"%s"},"fields":[{"name":"batt"},{"name":"COD_mgl_Avg"},{"name":"Q_lps"},{"name":"tss"}]},"data":[%s]}`,
				s.device, strings.Join(rows, ","))}
		},
		of:  codAndFlow,
		bad: map[string]mqttMessage{"malformed": raw("campbell/table", `{"head":{"environment":{"station_name":"%[2]s"},"fields":[{"name":"cod"}]},"data":[{"time":"2026-11-23T14:00:00","vals":[]}]}`)},
	},
	{
		name:    "campbell-geojson",
		source:  `{topic: cs/v1/data/+, format: campbell-geojson, units: {flow: L/s}}`,
		station: `device: "%s"`,
		messages: func(s talker, samples []measured) []mqttMessage {
			var rows []string
			for _, m := range samples {
				rows = append(rows, fmt.Sprintf(`"%s":[%v,%v,"all well"]`, m.utc(), m.cod(), m.q()))
			}
			return []mqttMessage{text("cs/v1/data/cr1000x", `{"type":"Feature","properties":{"loggerID":"%s","observationNames":["cod","flow","message"],"observations":{%s}}}`, s.device, strings.Join(rows, ","))}
		},
		of:  codAndFlow,
		bad: map[string]mqttMessage{"bad_value": raw("cs/v1/data/cr1000x", `{"properties":{"loggerID":"%[2]s","observationNames":["cod"],"observations":{"2026-11-23T07:00:00Z":[false]}}}`)},
	},
	{
		name:     "decentlab",
		source:   `{topic: frames/+, format: decentlab, frames: decentlab-ctd10, time: received}`,
		station:  `device: "%s"`,
		messages: each(func(s talker, m measured) mqttMessage { return mqttMessage{"frames/x", frameOf(s, m)} }),
		of:       inFrame,
		bad:      map[string]mqttMessage{"malformed": raw("frames/x", "\x01")},
	},
	{
		name:    "onlimo",
		source:  `{topic: onlimo, format: onlimo, units: {debit: L/s}}`,
		station: `device: "%s"`,
		messages: each(func(s talker, m measured) mqttMessage {
			local := m.at.In(wib)
			return text("onlimo", `{"data":{"IDStasiun":"%s","Tanggal":"%s","Jam":"%s","COD":"%v","Debit":%v,"BOD":"-"},"apikey":"k","apisecret":"s"}`,
				s.device, local.Format("2006-1-2"), local.Format("15:4:5"), m.cod(), m.q())
		}),
		of:  codAndFlow,
		bad: map[string]mqttMessage{"bad_value": raw("onlimo", `{"data":{"IDStasiun":"%[2]s","Tanggal":"2026-11-23","Jam":"14:00:00","COD":"n/a"},"apikey":"the-secret","apisecret":"the-secret"}`)},
	},
	{
		name:   "mapping",
		source: `{topic: "vendor/+/data", format: mapping, mapping: {samples: rows, device: $.uid, time: {path: [d, h], format: "DD/MM/YYYY HH:mm:ss"}, values: {cod: v.COD, flow: {path: 'v.list.#(n=="q").x', unit: L/s}}}}`,
		messages: func(s talker, samples []measured) []mqttMessage {
			var rows []string
			for _, m := range samples {
				local := m.at.In(wib)
				rows = append(rows, fmt.Sprintf(`{"d":"%s","h":"%s","v":{"COD":%v,"list":[{"n":"p","x":1},{"n":"q","x":%v}]}}`, local.Format("02/01/2006"), local.Format("15:04:05"), m.cod(), m.q()))
			}
			return []mqttMessage{text("vendor/x/data", `{"uid":"%s","rows":[%s]}`, s.id, strings.Join(rows, ","))}
		},
		of:  codAndFlow,
		bad: map[string]mqttMessage{"no_reading": raw("vendor/x/data", `{"uid":"%[1]s","rows":[{"d":"23/11/2026","h":"14:00:00"}]}`)},
	},
}

// Three hundred stations, each in a dialect of its own, through a real broker
// into a real InfluxDB: every reading arrives where and when it was measured and
// in its parameter's unit, and all that cannot be used is a dead letter.
func TestDialectsArrive(t *testing.T) {
	t.Parallel()
	const stations, samplesEach = 300, 4
	n := newNetwork(t, shippedBroker(t), testenv.InfluxDB(t, testenv.WithDatabase("water")))

	var site strings.Builder
	fmt.Fprintf(&site, "site: test\ndata_dir: %q\nhttp: {listen: %q}\nmqtt:\n  broker: %q\n  client_id: %s\n  sources:\n",
		n.site.dataDir, n.site.listen, n.site.broker, clientID)
	for _, d := range dialects {
		fmt.Fprintf(&site, "    - %s\n", d.source)
	}
	fmt.Fprintf(&site, "influxdb: {url: %q, bucket: water}\nstations:\n", n.site.influx)

	want := make(map[string]map[string]float64) // by station and time, then by parameter; the time of a sample that has none is left out
	dead := make(map[string]int)
	var messages []mqttMessage
	stored := 0
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	for i := range stations {
		d := dialects[i%len(dialects)]
		s := talker{fmt.Sprintf("st-%03d", i), fmt.Sprintf("%d", 20000+i)}
		extra := ""
		if d.station != "" {
			extra = ", " + fmt.Sprintf(d.station, s.device)
		}
		fmt.Fprintf(&site, "  - {id: %s, name: Station %d, river: bajak, kind: river%s}\n", s.id, i, extra)
		var samples []measured
		for j := range samplesEach {
			m := measured{start.Add(time.Duration(j) * 10 * time.Minute), 1 + i*samplesEach + j}
			samples = append(samples, m)
			key := s.id + " " + m.utc()
			if d.name == "decentlab" {
				key = fmt.Sprintf("%s %d", s.id, m.number)
			}
			want[key] = d.of(m)
		}
		sent := d.messages(s, samples)
		messages = append(messages, sent...)
		stored += readingsOf(d, samplesEach)
		if d.name != "decentlab" { // whose arrival is its time, which is another one the second time
			messages = append(messages, sent[0]) // through a second gateway
			stored += readingsOf(d, samplesEach) / len(sent)
		}
		if i < len(dialects) {
			for reason, m := range d.bad {
				// A message is a format of its own: the first verb is the station, the second the device.
				m.topic, m.payload = addressed(m.topic, s), []byte(addressed(string(m.payload), s))
				messages = append(messages, m)
				dead[reason]++
			}
		}
	}
	writeFile(t, n.file, site.String())
	n.ingest()

	link := n.link("loggers")
	work := make(chan mqttMessage)
	var senders sync.WaitGroup
	for range 16 {
		senders.Go(func() {
			for m := range work {
				if !link.send(m.topic, string(m.payload), t.Context().Done()) {
					t.Error("the test ended before the broker acknowledged a message")
				}
			}
		})
	}
	for _, m := range messages {
		work <- m
	}
	close(work)
	senders.Wait()

	received := stored
	for _, lost := range dead {
		received += lost
	}
	n.metricBecomes("tofuwatch_readings_received_total", float64(received))
	if diff := cmp.Diff(n.drained(), ledger{received: received, stored: stored, deadLettered: dead}, cmp.AllowUnexported(ledger{})); diff != "" {
		t.Errorf("ledger (-got +want):\n%s", diff)
	}

	got := make(map[string]map[string]float64)
	for _, row := range n.db.Query(t, "water", `SELECT cod, flow, level, temperature, ec FROM water_quality GROUP BY station`) {
		values := make(map[string]float64)
		for _, parameter := range []string{"cod", "flow", "level", "temperature", "ec"} {
			if v, ok := row[parameter].(float64); ok {
				values[parameter] = v
			}
		}
		station, at := row["station"].(string), row["time"].(time.Time)
		key := station + " " + at.UTC().Format(time.RFC3339Nano)
		if ec, ok := values["ec"]; ok && at.After(start.Add(50*time.Minute)) { // a frame without a time of its own
			key = fmt.Sprintf("%s %v", station, ec)
		}
		if _, twice := got[key]; twice {
			t.Errorf("%s is in InfluxDB twice", key)
		}
		got[key] = values
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(b)) })
	if diff := cmp.Diff(got, want, near); diff != "" {
		t.Errorf("%d samples in InfluxDB, %d were sent (-got +want):\n%s", len(got), len(want), diff[:min(len(diff), 4000)])
	}
	n.stop()
	if left := n.left(); left > 0 {
		t.Errorf("%d messages are not acknowledged, want none", left)
	}

	// Every reason is told, and none of them tells a secret.
	letters := tofuwatch(t, "deadletter", "list", "--config", n.file, "--json")
	if strings.Contains(letters.stdout, "the-secret") {
		t.Errorf("a secret is kept:\n%s", letters.stdout)
	}
	count := 0
	for line := range strings.Lines(letters.stdout) {
		var letter struct{ Reason, Detail string }
		if err := json.Unmarshal([]byte(line), &letter); err != nil {
			t.Fatal(err)
		}
		if letter.Detail == "" || dead[letter.Reason] == 0 {
			t.Errorf("dead letter %+v, want a reason that was meant, and words", letter)
		}
		count++
	}
	if want := received - stored; count != want {
		t.Errorf("%d dead letters, want %d", count, want)
	}
}

// addressed puts a talker's names in.
func addressed(format string, s talker) string {
	return strings.NewReplacer("%[1]s", s.id, "%[2]s", s.device).Replace(format)
}

// readingsOf is how many readings so many samples of a dialect are: those with
// no value count.
func readingsOf(d dialect, samples int) int {
	readings := len(d.of(measured{number: 1}))
	if slices.Contains([]string{"tofuwatch", "senml-json", "campbell-csijson", "onlimo"}, d.name) {
		readings++
	}
	return readings * samples
}
