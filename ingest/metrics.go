package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tofuwatch/internal/water"
)

// A Ledger accounts for readings since the data folder was first used:
// Received = Stored + Pending + the sum of DeadLettered. What was derived from
// readings counts like them, on both sides.
type Ledger struct {
	Received     uint64
	Stored       uint64
	Pending      uint64
	DeadLettered map[water.Reason]uint64
}

// SpoolHealth is what a spool says of itself, as of one moment.
type SpoolHealth struct {
	Ledger
	Bytes  int64     // on the disk
	Free   int64     // bytes that are left on that disk; 0 if it does not say
	Oldest time.Time // when the oldest pending message was received; zero if none is pending
}

// Metrics are the ledger and the health of an ingester. A scrape shows all of
// it as of one moment, so that the ledger balances in every one.
type Metrics struct {
	pipeline *Pipeline
	spool    func() SpoolHealth
	influxUp func() bool
	brokerUp func() bool
}

// NewMetrics returns the metrics; they are to be registered by the caller.
func NewMetrics(p *Pipeline, spool func() SpoolHealth, influxUp, brokerUp func() bool) *Metrics {
	return &Metrics{p, spool, influxUp, brokerUp}
}

// otherSource is the label of messages whose topic is none of the sources'.
const otherSource = "other"

var (
	messagesReceived = prometheus.NewDesc("tofuwatch_messages_received_total",
		"MQTT messages that came, by the source whose topic they have.", []string{"source"}, nil)
	lastMessage = prometheus.NewDesc("tofuwatch_last_message_timestamp_seconds",
		"When the last MQTT message came; absent before the first.", nil, nil)
	keysIgnored = prometheus.NewDesc("tofuwatch_payload_keys_ignored_total",
		"Keys in payloads that name no parameter.", nil, nil)
	readingsReceived = prometheus.NewDesc("tofuwatch_readings_received_total",
		"Readings on disk since the data folder was first used: stored, dead-lettered or pending.", nil, nil)
	readingsStored = prometheus.NewDesc("tofuwatch_readings_stored_total",
		"Readings that InfluxDB has, since the data folder was first used.", nil, nil)
	readingsDeadLettered = prometheus.NewDesc("tofuwatch_readings_deadlettered_total",
		"Readings that could not be used, since the data folder was first used.", []string{"reason"}, nil)
	readingsPending = prometheus.NewDesc("tofuwatch_readings_pending",
		"Readings on disk that InfluxDB does not have yet.", nil, nil)
	spoolBytes = prometheus.NewDesc("tofuwatch_spool_bytes",
		"Room on the disk that the spool takes.", nil, nil)
	diskFree = prometheus.NewDesc("tofuwatch_disk_free_bytes",
		"Room that is left on the disk of the data folder; absent if it does not say.", nil, nil)
	spoolOldest = prometheus.NewDesc("tofuwatch_spool_oldest_timestamp_seconds",
		"When the oldest pending reading was received; absent if none is pending.", nil, nil)
	influxUp = prometheus.NewDesc("tofuwatch_influxdb_up",
		"1 if the last write to InfluxDB was answered and accepted, else 0.", nil, nil)
	brokerUp = prometheus.NewDesc("tofuwatch_broker_up",
		"1 while the broker has granted the subscriptions, else 0.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		messagesReceived, lastMessage, keysIgnored, readingsReceived, readingsStored, readingsDeadLettered,
		readingsPending, spoolBytes, diskFree, spoolOldest, influxUp, brokerUp,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	for i, s := range m.pipeline.o.Sources {
		counter(messagesReceived, m.pipeline.received[i].Load(), s.Topic)
	}
	counter(messagesReceived, m.pipeline.received[len(m.pipeline.o.Sources)].Load(), otherSource)
	counter(messagesReceived, m.pipeline.received[len(m.pipeline.o.Sources)+1].Load(), Notices.Topic)
	counter(keysIgnored, m.pipeline.ignored.Load())
	if ns := m.pipeline.latest.Load(); ns > 0 {
		gauge(lastMessage, float64(ns)/1e9)
	}
	h := m.spool()
	counter(readingsReceived, h.Received)
	counter(readingsStored, h.Stored)
	for _, reason := range water.Reasons() {
		counter(readingsDeadLettered, h.DeadLettered[reason], string(reason))
	}
	gauge(readingsPending, float64(h.Pending))
	gauge(spoolBytes, float64(h.Bytes))
	if h.Free > 0 {
		gauge(diskFree, float64(h.Free))
	}
	if !h.Oldest.IsZero() {
		gauge(spoolOldest, float64(h.Oldest.UnixMilli())/1e3)
	}
	gauge(influxUp, oneIf(m.influxUp()))
	gauge(brokerUp, oneIf(m.brokerUp()))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
