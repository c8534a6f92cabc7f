package site

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPlants(t *testing.T) {
	file := filepath.Join(t.TempDir(), "site.yaml")
	text := `site: semarang
mqtt: {broker: "tcp://127.0.0.1", client_id: tofuwatch-semarang}
influxdb: {url: "http://127.0.0.1:8086", bucket: water}
stations:
  - {id: ipal-01, name: Outlet, river: bajak, kind: effluent}
  - {id: ipal-01-in, name: Inlet, river: bajak, kind: influent}
  - {id: ipal-1, name: Outlet, river: bajak, kind: effluent, treatment: {influent: pit, retention: 30h}}
  - {id: ipal-1-in, name: Inlet, river: bajak, kind: influent}
  - {id: pit, name: Inlet, river: bajak, kind: influent}
  - {id: workshop, name: Outlet, river: bajak, kind: effluent}
  - {id: workshop-in, name: No inlet, river: bajak, kind: river}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(file, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range s.Plants() {
		got = append(got, fmt.Sprint(p.Influent.ID, " to ", p.Effluent.ID, " in ", p.Retention))
	}
	want := []string{"ipal-01-in to ipal-01 in " + time.Duration(0).String(), "pit to ipal-1 in 30h0m0s"}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("plants (-got +want):\n%s", strings.TrimSpace(diff))
	}
}
