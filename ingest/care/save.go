package care

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"tofuwatch/internal/water"
)

// saved is a Book on disk. What is planned stands in the site file.
type saved struct {
	// Position is where in the spool what may be missing from the rest starts.
	Position    uint64             `json:"position"`
	Maintenance []savedMaintenance `json:"maintenance,omitempty"`
	Visits      []savedVisit       `json:"visits,omitempty"`
}

type savedMaintenance struct {
	Station    string    `json:"station"`
	Parameters []string  `json:"parameters,omitempty"` // none: all of the station
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Ended      bool      `json:"ended,omitempty"`
	By         string    `json:"by,omitempty"`
	Note       string    `json:"note,omitempty"`
}

type savedVisit struct {
	Station          string    `json:"station"`
	Parameter        string    `json:"parameter"`
	Time             time.Time `json:"time"`
	Reference        *float64  `json:"reference,omitempty"`
	Before           *float64  `json:"before,omitempty"`
	AfterCleaning    *float64  `json:"after_cleaning,omitempty"`
	AfterCalibration *float64  `json:"after_calibration,omitempty"`
	By               string    `json:"by,omitempty"`
	Note             string    `json:"note,omitempty"`
	Corrected        time.Time `json:"corrected"` // see visit
}

// number returns what JSON has for f.
func number(f float64) *float64 {
	if math.IsNaN(f) {
		return nil
	}
	return &f
}

// orNaN is the inverse of number.
func orNaN(f *float64) float64 {
	if f == nil {
		return math.NaN()
	}
	return *f
}

// Save writes b to file; position is that of the spool before the call.
func (b *Book) Save(file string, position uint64) error {
	data, err := json.Marshal(b.saved(position))
	if err == nil {
		err = renameio.WriteFile(file, data, 0o640)
	}
	if err != nil {
		return fmt.Errorf("save maintenance and visits: %w", err)
	}
	return nil
}

func (b *Book) saved(position uint64) saved {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := saved{Position: position}
	for station, w := range b.works {
		for _, m := range w.list {
			if m.Planned {
				continue
			}
			item := savedMaintenance{Station: station.ID, From: m.From, To: m.To, Ended: m.Ended, By: m.By, Note: m.Note}
			for _, p := range m.Parameters {
				item.Parameters = append(item.Parameters, p.Code)
			}
			s.Maintenance = append(s.Maintenance, item)
		}
	}
	for _, visits := range b.sensors {
		for _, v := range visits {
			s.Visits = append(s.Visits, savedVisit{
				Station: v.Station.ID, Parameter: v.Parameter.Code, Time: v.Time,
				Reference: number(v.Reference), Before: number(v.Before),
				AfterCleaning: number(v.AfterCleaning), AfterCalibration: number(v.AfterCalibration),
				By: v.By, Note: v.Note, Corrected: v.corrected,
			})
		}
	}
	slices.SortFunc(s.Visits, func(a, b savedVisit) int { return a.Time.Compare(b.Time) })
	return s
}

// Load reads back what Save wrote and returns its position; of a file that is not
// there it is the last there can be, since nothing was ever saved. What is of no
// station or parameter known now is left out.
func (b *Book) Load(file string, parameters *water.Parameters) (position uint64, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return math.MaxUint64, nil
	}
	var s saved
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return 0, fmt.Errorf("load maintenance and visits from %s: %w", file, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range s.Maintenance {
		m := water.Maintenance{Station: b.stations[i.Station], From: i.From, To: i.To, Ended: i.Ended, By: i.By, Note: i.Note}
		for _, code := range i.Parameters {
			if p := parameters.Lookup([]byte(code)); p != nil {
				m.Parameters = append(m.Parameters, p)
			}
		}
		if m.Station != nil && (m.Parameters != nil || i.Parameters == nil) {
			b.keepMaintenance(m)
		}
	}
	for _, i := range s.Visits {
		v := visit{Visit: water.Visit{
			Station: b.stations[i.Station], Parameter: parameters.Lookup([]byte(i.Parameter)), Time: i.Time,
			Check: water.Check{
				Reference: orNaN(i.Reference), Before: orNaN(i.Before),
				AfterCleaning: orNaN(i.AfterCleaning), AfterCalibration: orNaN(i.AfterCalibration),
			},
			By: i.By, Note: i.Note,
		}}
		if v.Station == nil || v.Parameter == nil {
			continue
		}
		b.keepVisit(v)
		visits := b.sensors[sensor{v.Station, v.Parameter}]
		visits[len(visits)-1].corrected = i.Corrected // they come oldest first
	}
	return s.Position, nil
}
