package simulate_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"

	"tofuwatch/internal/simulate"
	"tofuwatch/internal/testenv"
)

// A listener keeps what a broker passes on.
type listener struct {
	mu       sync.Mutex
	readings map[string]bool   // topic and payload
	presence map[string]string // by station
}

// listen returns a listener to all stations; it is subscribed.
func listen(t testing.TB, broker string) *listener {
	t.Helper()
	l := &listener{readings: make(map[string]bool), presence: make(map[string]string)}
	granted := make(chan error, 100)
	client := mqtt.NewClient(mqtt.NewClientOptions().
		AddBroker(broker).SetClientID("listener").SetCleanSession(false).SetMaxReconnectInterval(100 * time.Millisecond).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			l.mu.Lock()
			defer l.mu.Unlock()
			station := strings.Split(m.Topic(), "/")[1]
			if strings.HasSuffix(m.Topic(), "/status") {
				l.presence[station] = string(m.Payload())
				return
			}
			l.readings[m.Topic()+" "+string(m.Payload())] = true
		}).
		SetOnConnectHandler(func(c mqtt.Client) {
			token := c.Subscribe("tofu/#", 1, nil)
			token.Wait()
			granted <- token.Error()
		}))
	if token := client.Connect(); token.Wait() && token.Error() != nil {
		t.Fatal(token.Error())
	}
	t.Cleanup(func() { client.Disconnect(100) })
	if err := <-granted; err != nil {
		t.Fatal(err)
	}
	return l
}

// look returns what l has heard so far.
func (l *listener) look() (readings map[string]bool, presence map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.readings), maps.Clone(l.presence)
}

// missing returns an error unless got has every key of want.
func missing(got, want map[string]bool) error {
	for reading := range want {
		if !got[reading] {
			return fmt.Errorf("%d of %d readings or more; missing %s", len(got), len(want), reading)
		}
	}
	return nil
}

// present returns an error unless l heard every base station say state.
func (l *listener) present(state string) error {
	_, got := l.look()
	want := make(map[string]string)
	for _, s := range baseIDs {
		want[s] = state
	}
	if diff := cmp.Diff(got, want); diff != "" {
		return fmt.Errorf("presence (-got +want):\n%s", diff)
	}
	return nil
}

// published returns the readings of an equal world up to now.
func published(t testing.TB, o simulate.Options, until time.Time) map[string]bool {
	t.Helper()
	want := make(map[string]bool)
	for _, m := range messages(world(t, o), until) {
		want[m.Topic+" "+string(m.Payload)] = true
	}
	return want
}

var baseIDs = []string{
	"ipal-01", "ipal-01-in", "bajak-hulu", "bajak-hilir", "bkt-hulu", "bkt-hilir", "tenggang-hulu", "tenggang-hilir",
}

func TestPublish(t *testing.T) {
	broker := testenv.Mosquitto(t, testenv.WithConfig("max_queued_messages 100000"))
	heard := listen(t, broker.URL)
	// A past, and hours until the next sample.
	o := simulate.Options{Start: time.Now().Add(-2 * day).UTC().Truncate(time.Hour), Interval: 30 * time.Minute}
	want := published(t, o, time.Now())

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		n, err := simulate.Publish(ctx, world(t, o), simulate.PublishOptions{Broker: broker.URL}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Error(err)
		}
		ended <- n
	}()
	testenv.Eventually(t, func() error { return heard.present("online") })
	testenv.Eventually(t, func() error {
		got, _ := heard.look()
		return missing(got, want)
	})
	stop()
	n := <-ended
	testenv.Eventually(t, func() error { return heard.present("offline") })
	got, _ := heard.look()
	if n != len(got) {
		t.Errorf("acknowledged: got %d, want %d", n, len(got))
	}
	if err := missing(published(t, o, time.Now().Add(time.Second)), got); err != nil {
		t.Errorf("readings of the world up to now: %v", err)
	}
}

func TestPublishTellsThatThereIsNoBroker(t *testing.T) {
	_, err := simulate.Publish(t.Context(), world(t, simulate.Options{}),
		simulate.PublishOptions{Broker: "tcp://127.0.0.1:1"}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), " to tcp://127.0.0.1:1: ") {
		t.Errorf("error: got %v, want it to name the broker", err)
	}
}
