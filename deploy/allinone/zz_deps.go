package main

import (
	_ "github.com/emersion/go-smtp"
	_ "github.com/prometheus/alertmanager/api"
	_ "github.com/prometheus/alertmanager/dispatch"
	_ "github.com/prometheus/alertmanager/notify/email"
	_ "github.com/prometheus/prometheus/rules"
	_ "github.com/prometheus/prometheus/tsdb"
	_ "github.com/prometheus/prometheus/web/api/v1"
)
