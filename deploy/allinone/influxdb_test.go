package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
)

// startInfluxDB runs a database until the test ends or the function it returns
// is called.
func startInfluxDB(t testing.TB, o influxDBOptions) (url string, stop func()) {
	t.Helper()
	ln := listenLoopback(t)
	db, err := newInfluxDB(ln, o, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- db.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("InfluxDB: %v", err)
		}
	})
	t.Cleanup(stop)
	<-db.Ready()
	return "http://" + ln.Addr().String(), stop
}

// request sends a request with a token and returns status and body.
func request(t testing.TB, method, url, token, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Token "+token)
	}
	r.Header.Set("Content-Type", "application/vnd.flux") // which only /api/v2/query looks at
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// phCount returns InfluxDB's answer to a count of pH readings.
func phCount(t testing.TB, base, token, bucket string) string {
	t.Helper()
	database, policy, _ := strings.Cut(bucket, "/")
	q := url.Values{"db": {database}, "rp": {policy}, "q": {"SELECT count(ph) FROM water_quality"}}
	_, answer := request(t, "GET", base+"/query?"+q.Encode(), token, "")
	return answer
}

func TestInfluxDBKeepsWhatIsWritten(t *testing.T) {
	for _, o := range []influxDBOptions{
		{Bucket: "water"},
		{Bucket: "water/year", Token: "tofuwatch:rahasia"},
	} {
		t.Run(o.Bucket, func(t *testing.T) {
			o.Dir = t.TempDir()
			base, stop := startInfluxDB(t, o)
			if status, _ := request(t, "GET", base+"/ping", o.Token, ""); status != http.StatusNoContent {
				t.Fatalf("ping: got %d, want 204", status)
			}
			write := "/api/v2/write?org=tofuwatch&bucket=" + url.QueryEscape(o.Bucket)
			if status, answer := request(t, "POST", base+write, o.Token, "water_quality,station=ipal-01 ph=6.9,ph_qc=1i\n"); status != http.StatusNoContent {
				t.Fatalf("write: got %d %s, want 204", status, answer)
			}
			stop()
			base, _ = startInfluxDB(t, o)
			if got, want := phCount(t, base, o.Token, o.Bucket), `["1970-01-01T00:00:00Z",1]`; !strings.Contains(got, want) {
				t.Errorf("after a restart: got %s, want %s in it", got, want)
			}
			if o.Token == "" {
				return
			}
			if status, _ := request(t, "POST", base+write, "tofuwatch:wrong", "water_quality ph=1\n"); status != http.StatusUnauthorized {
				t.Errorf("write with a wrong token: got %d, want 401", status)
			}
		})
	}
}

// The engine has loggers of its own; none may reach the terminal that a table
// is drawn on.
func TestInfluxDBIsSilent(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = w, w
	read := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(r)
		read <- all
	}()
	base, stop := startInfluxDB(t, influxDBOptions{Dir: t.TempDir(), Bucket: "water"})
	request(t, "POST", base+"/api/v2/write?bucket=water", "", "water_quality ph=1\nnot a line\n")
	request(t, "GET", base+"/query?db=water&q=nonsense", "", "")
	stop()
	os.Stdout, os.Stderr = stdout, stderr
	w.Close()
	if got := <-read; len(got) > 0 {
		t.Errorf("written past the log: %s", got)
	}
}

func TestZapTo(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	zap := zapTo(log)
	zap.Info("opened shard")
	zap.Sugar().With("b", 2, "a", 1).Warn("shard is slow")
	if got, want := out.String(), "level=WARN msg=\"shard is slow\" a=1 b=2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
