//go:build !race

package simulate_test

// The MQTT library marks a message as sent before while it may still be sending it
// (paho.mqtt.golang 1.5.1, client.resume): the race detector sees that now and then,
// and a subscriber may be told either.

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"tofuwatch/internal/simulate"
	"tofuwatch/internal/testenv"
)

func TestPublishOverABrokerRestart(t *testing.T) {
	broker := testenv.Mosquitto(t, testenv.WithPersistence(), testenv.WithConfig("max_queued_messages 1000000"))
	heard := listen(t, broker.URL)
	o := simulate.Options{Start: time.Now().Add(-7 * day).UTC().Truncate(time.Hour), Interval: time.Hour}
	want := published(t, o, time.Now())

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		options := simulate.PublishOptions{Broker: broker.URL, InFlight: 4}
		if _, err := simulate.Publish(ctx, world(t, o), options, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	}()
	testenv.Eventually(t, func() error {
		if got, _ := heard.look(); len(got) < 100 {
			return fmt.Errorf("%d readings; want 100, then the broker stops", len(got))
		}
		return nil
	})
	broker.Stop()
	broker.Start()
	testenv.Eventually(t, func() error {
		got, _ := heard.look()
		return missing(got, want)
	})
	stop()
	<-ended
}
