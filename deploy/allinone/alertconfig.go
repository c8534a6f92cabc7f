package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/alertmanager/config"

	"tofuwatch/alerts/alertmanager"
	"tofuwatch/alerts/mail"
	"tofuwatch/internal/site"
	"tofuwatch/internal/water"
)

// nobodyTold is the configuration of a site without recipients: its alerts are
// to be seen, and no mail is sent.
const nobodyTold = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"

// times are how soon and how often people are told. All rules that one reading
// sets off are evaluated together here, so an emergency waits for nothing more.
func times() alertmanager.Times {
	t := alertmanager.DefaultTimes()
	t.EmergencyWait = time.Second
	return t
}

// alertmanagerConfig returns the configuration of a site's Alertmanager, which is
// what "tofuwatch render alertmanager" writes for an Alertmanager elsewhere. It
// is kept in dir for people to look at, with its templates, which are read from
// there.
func alertmanagerConfig(s *site.Site, server *site.SMTP, dir string) (*config.Config, error) {
	if len(s.Recipients) == 0 {
		return config.Load(nobodyTold)
	}
	in := alertmanager.Input{
		Site: mail.Site{Name: s.Name, TimeZone: s.TimeZone, Parameters: s.Parameters.All(), Stations: stationsOf(s)},
		SMTP: alertmanager.SMTP{
			Host: server.Host, Port: server.Port, TLS: server.TLS, From: server.From,
			Username: server.Username, Password: string(server.Password),
		},
		Ingester: s.HTTP.Listen,
		Dir:      dir,
		Times:    times(),
	}
	for _, r := range s.Recipients {
		in.Recipients = append(in.Recipients, alertmanager.Recipient(r))
	}
	files, err := alertmanager.Alertmanager(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.File, err)
	}
	files = slices.DeleteFunc(files, func(f alertmanager.File) bool { return filepath.Ext(f.Name) == ".service" })
	if err := alertmanager.Write(dir, files); err != nil {
		return nil, err
	}
	return config.LoadFile(filepath.Join(dir, "alertmanager.yml"))
}

func stationsOf(s *site.Site) []*water.Station {
	all := make([]*water.Station, len(s.Stations))
	for i := range s.Stations {
		all[i] = s.Stations[i].Station
	}
	return all
}
