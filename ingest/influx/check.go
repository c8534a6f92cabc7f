package influx

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
)

// checkMeasurement holds the points of Check, and nothing else.
const checkMeasurement = "tofuwatch_check_live"

// Check writes a point of its own and deletes it again. Its error says what
// failed and what a person should do about it.
func Check(ctx context.Context, o Options) error {
	client := NewClient(o)
	defer client.Close()
	now := time.Now()
	point := fmt.Sprintf("%s ok=1i %d", checkMeasurement, now.UnixNano())
	if err := client.WriteAPIBlocking(o.Org, o.Bucket).WriteRecord(ctx, point); err != nil {
		return fmt.Errorf("write a point: %w; %s", err, Hint(err, o))
	}
	if err := remove(ctx, client, o, now); err != nil {
		return fmt.Errorf("a point was written, and could not be deleted again: %w; %s", err, Hint(err, o))
	}
	return nil
}

// remove deletes the point of Check. InfluxDB 1.8 has no delete in its v2 API,
// so InfluxQL does it there.
func remove(ctx context.Context, client influxdb2.Client, o Options, written time.Time) error {
	err := client.DeleteAPI().DeleteWithName(ctx, o.Org, o.Bucket,
		written.Add(-time.Minute), written.Add(time.Minute), fmt.Sprintf("_measurement=%q", checkMeasurement))
	if err == nil || !strings.HasPrefix(err.Error(), "404 ") { // the client has no better type for it
		return err
	}
	database, _, _ := strings.Cut(o.Bucket, "/")
	query := url.Values{"db": {database}, "q": {fmt.Sprintf("DELETE FROM %q", checkMeasurement)}}
	if err := client.HTTPService().DoPostRequest(ctx, o.URL.JoinPath("query").String(), strings.NewReader(query.Encode()), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}, nil); err != nil {
		return err
	}
	return nil
}
