package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"

	"tofuwatch/internal/water"
)

// A Reader reads back what was stored. It asks in InfluxQL, which 1.8 and
// 2.x both understand; Flux is off in 1.8 unless somebody turns it on.
type Reader struct {
	client           influxdb2.Client
	o                Options
	database, policy string // policy is empty for the default one
}

// NewReader returns a reader of what a writer with the same options writes. On
// 2.x the token must be one that may read the bucket.
func NewReader(client influxdb2.Client, o Options) *Reader {
	r := &Reader{client: client, o: o}
	r.database, r.policy, _ = strings.Cut(o.Bucket, "/")
	return r
}

// Readings returns what the sensor for p at s measured at from or later and before
// to, oldest first: atMost of them, so that there may be more behind the last.
func (r *Reader) Readings(ctx context.Context, s *water.Station, p *water.Parameter, from, to time.Time, atMost int) ([]water.Observation, error) {
	// Nothing needs escaping: see Encode.
	q := fmt.Sprintf(
		`SELECT "%s", "%s" FROM "%s" WHERE station = '%s' AND method = '%s' AND time >= %d AND time < %d LIMIT %d`,
		p.Code, p.Code+flagSuffix, Measurement, s.ID, water.Sensor, from.UnixNano(), to.UnixNano(), atMost,
	)
	var readings []water.Observation
	err := r.ask(ctx, q, func(answer io.Reader) (err error) {
		readings, err = decodeReadings(answer, s, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s of %s back: %w", p.Code, s.ID, err)
	}
	return readings, nil
}

// ask has decode read the answer to q. Times in it are Unix nanoseconds.
func (r *Reader) ask(ctx context.Context, q string, decode func(io.Reader) error) error {
	form := url.Values{"db": {r.database}, "epoch": {"ns"}, "q": {q}}
	if r.policy != "" {
		form.Set("rp", r.policy)
	}
	failed := r.client.HTTPService().DoPostRequest(ctx, r.o.URL.JoinPath("query").String(), strings.NewReader(form.Encode()), func(request *http.Request) {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}, func(response *http.Response) error {
		defer response.Body.Close()
		return decode(response.Body)
	})
	if failed != nil { // a nil of its type would be an error
		return failed
	}
	return nil
}

// decodeReadings reads InfluxDB's answer:
//
//	{"results":[{"series":[{"name":"water_quality","columns":["time","ph","ph_qc"],
//	 "values":[[1795417200000000000,6.9,1],[1795417320000000000,null,9]]}]}]}
func decodeReadings(body io.Reader, s *water.Station, p *water.Parameter) ([]water.Observation, error) {
	var answer struct {
		Results []struct {
			Error  string
			Series []struct{ Values [][3]json.Number }
		}
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("the answer is not InfluxDB's: %w", err)
	}
	var readings []water.Observation
	for _, result := range answer.Results {
		if result.Error != "" {
			return nil, errors.New(result.Error)
		}
		for _, series := range result.Series {
			for _, row := range series.Values {
				ns, err := row[0].Int64()
				o := water.Observation{
					Station: s, Parameter: p, Method: water.Sensor,
					Value: math.NaN(), Flag: water.Missing, Time: time.Unix(0, ns).UTC(),
				}
				if row[1] != "" && err == nil { // null otherwise
					o.Flag = water.NotEvaluated // should the flag be gone
					o.Value, err = row[1].Float64()
				}
				if row[2] != "" && err == nil {
					var flag int64
					flag, err = row[2].Int64()
					o.Flag = water.Flag(flag)
				}
				if err != nil {
					return nil, fmt.Errorf("the answer has the row %v: %w", row, err)
				}
				readings = append(readings, o)
			}
		}
	}
	return readings, nil
}
