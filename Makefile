# On a fresh Debian 12 with Go and make: "make demo" shows it, "make test" tests it.
# Whatever is built lands in build/, which git ignores.

.DELETE_ON_ERROR:
.SUFFIXES:

# Arguments of a run: make demo ARGS="--scenario spill --speed 60".
ARGS ?=
# Further arguments of go test: make test TESTFLAGS="-run Spool -v".
TESTFLAGS ?=

# How long each fuzz test runs in "make fuzz".
FUZZTIME ?= 10m

# The database of known vulnerabilities that govulncheck asks.
VULNDB ?= https://vuln.go.dev

ALLINONE := deploy/allinone
CHECK    := dashboards/check
GO_TEST  := go test -race -p 2 -timeout 20m
SUDO     := $(if $(filter-out 0,$(shell id -u)),sudo)

# What is shipped, and the tools, are built without C.
GO_BUILD := CGO_ENABLED=0 go build

heading = @printf '\n== %s\n' '$(1)'

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## run a whole synthetic station network in this terminal; ARGS="--scenario spill"
	$(call heading,Building tofuwatch-allinone (the first time takes some minutes))
	cd $(ALLINONE) && $(GO_BUILD) -o ../../build/tofuwatch-allinone .
	build/tofuwatch-allinone demo $(ARGS)

.PHONY: stack
stack: deps build/tools/influxd build/tools/alertmanager ## run a synthetic site as separate programs, with a month behind it, and Grafana if there is one; ARGS="-scenario spill"
	$(GO_BUILD) -o build/tofuwatch ./cmd/tofuwatch
	$(GO_BUILD) -o build/stack-command ./deploy/stack
	build/stack-command $(ARGS)

.PHONY: build
build: ## build tofuwatch and tofuwatch-allinone into build/
	$(GO_BUILD) -trimpath -ldflags '-s -w' -o build/tofuwatch ./cmd/tofuwatch
	cd $(ALLINONE) && $(GO_BUILD) -trimpath -ldflags '-s -w' -o ../../build/tofuwatch-allinone .

# The version of the package; the next release's, until that is made.
VERSION ?= 0.1.0
ARCH    ?= $(shell go env GOARCH)

.PHONY: deb
deb: build/tools/nfpm ## make the Debian package of both programs: build/tofuwatch_VERSION_ARCH.deb
	$(call heading,Building tofuwatch $(VERSION) for $(ARCH))
	GOARCH=$(ARCH) $(GO_BUILD) -trimpath -ldflags '-s -w' -o build/deb/tofuwatch ./cmd/tofuwatch
	cd $(ALLINONE) && GOARCH=$(ARCH) $(GO_BUILD) -trimpath -ldflags '-s -w' -o ../../build/deb/tofuwatch-allinone .
	VERSION=$(VERSION) ARCH=$(ARCH) build/tools/nfpm package --config deploy/debian/nfpm.yaml --packager deb --target build/

# It wants root, for debootstrap and chroot.
.PHONY: test-deb
test-deb: deps build/tools/influxd ## install, upgrade, remove and purge the package on a clean Debian, a spool full of readings meanwhile
	@command -v debootstrap >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends debootstrap; }
	$(MAKE) --no-print-directory deb VERSION='$(VERSION)~before'
	$(MAKE) --no-print-directory deb
	$(SUDO) env PATH="$$PATH" CI=1 TOFUWATCH_DEB_BEFORE=$(CURDIR)/build/tofuwatch_$(VERSION)~before_$(ARCH).deb TOFUWATCH_DEB=$(CURDIR)/build/tofuwatch_$(VERSION)_$(ARCH).deb \
		go test -tags deb -count 1 -timeout 20m -v $(TESTFLAGS) ./deploy/debian

.PHONY: test
test: deps build/tools/influxd build/tools/alertmanager build/tools/amtool ## test everything, with real servers; installs what is missing
	$(call heading,go vet)
	go vet ./...
	cd $(ALLINONE) && go vet ./...
	$(call heading,go test: tofuwatch)
	$(GO_TEST) $(TESTFLAGS) ./...
	go test -run Restart $(TESTFLAGS) ./internal/simulate # the race detector stumbles over the MQTT library
	$(call heading,go test: tofuwatch-allinone)
	cd $(ALLINONE) && $(GO_TEST) $(TESTFLAGS) ./...
	cd $(ALLINONE) && go test -timeout 20m -run 'Flux|Scenario' . # the race detector refuses code of Flux, and days take it too long
	$(call heading,go test: what is shipped for other programs)
	cd deploy/checks && go vet ./... && go test $(TESTFLAGS) ./...
	$(call heading,go test: queries of the dashboards)
	cd $(CHECK) && go vet . && go test -timeout 10m $(TESTFLAGS) .
	$(call heading,All tests passed)

.PHONY: test-influxdb2
test-influxdb2: deps influxd2 ## test against InfluxDB 2.7 what is tested against 1.8
	$(GO_TEST) -tags influxdb2 -run InfluxDB2 $(TESTFLAGS) ./...

.PHONY: fuzz
fuzz: ## look for inputs that break a parser: each of them for FUZZTIME, 10m by default
	@for module in . $(ALLINONE); do \
		( cd $$module && go vet ./... || exit 1; for package in $$(go list ./...); do \
			for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
				printf '\n== %s %s, %s\n' $$package $$target $(FUZZTIME); \
				go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package || exit 1; \
			done || exit 1; \
		done ) || exit 1; \
	done

.PHONY: bench
bench: deps tools ## measure ours beside Telegraf on this machine
	go test -tags bench -run TestBench -timeout 60m -v $(TESTFLAGS) ./deploy/bench
	cd $(ALLINONE) && go test -tags bench -run TestBench -timeout 60m -v $(TESTFLAGS) .

.PHONY: scenarios
scenarios: ## live through three weeks of the whole district, in simulated time, and count the mail
	cd $(ALLINONE) && go test -tags scenarios -run Scenario -timeout 60m -v $(TESTFLAGS) .

.PHONY: quality-report
quality-report: ## tell how well quality flags find faults, simulated ones or FILE=record.csv PARAMETER=ph TIME=… VALUE=… LABEL=…
	@go run ./cmd/tofuwatch quality-report $(if $(FILE),"$(FILE)" --parameter "$(PARAMETER)") \
		$(if $(TIME),--time "$(TIME)") $(if $(VALUE),--value "$(VALUE)") $(if $(LABEL),--label "$(LABEL)") $(ARGS)

.PHONY: bench-import
bench-import: deps build/tools/influxd ## measure the import of a million rows
	go test -tags bench -run TestBenchImport -timeout 60m -v $(TESTFLAGS) ./cmd/tofuwatch

.PHONY: soak
soak: deps tools ## run for half an hour, the broker restarted each minute
	go test -tags soak -run TestSoak -timeout 60m -v $(TESTFLAGS) ./cmd/tofuwatch

.PHONY: lint
lint: build/tools/golangci-lint build/tools/govulncheck ## go vet, golangci-lint and govulncheck
	$(call heading,go vet)
	go vet -tags bench$(comma)deb$(comma)influxdb2$(comma)soak ./...
	cd $(ALLINONE) && go vet -tags bench$(comma)scenarios ./...
	cd deploy/checks && go vet ./...
	$(call heading,golangci-lint: tofuwatch)
	build/tools/golangci-lint run ./...
	$(call heading,golangci-lint: tofuwatch-allinone)
	cd $(ALLINONE) && ../../build/tools/golangci-lint run --config ../../.golangci.yml ./...
	$(call heading,golangci-lint: checks of what is shipped)
	cd deploy/checks && ../../build/tools/golangci-lint run --config ../../.golangci.yml ./...
	$(call heading,golangci-lint: tofuwatch/dashboards/check)
	cd $(CHECK) && ../../build/tools/golangci-lint run --config ../../.golangci.yml ./...
	$(call heading,govulncheck: tofuwatch)
	@build/tools/govulncheck -db $(VULNDB) ./... >build/govulncheck.txt 2>&1; status=$$?; \
	cat build/govulncheck.txt; \
	if grep -q '^govulncheck: fetching vulnerabilities:' build/govulncheck.txt; then \
		echo 'NOT CHECKED for known vulnerabilities: $(VULNDB) does not answer. VULNDB=file:///… names a copy of it.' >&2; \
		exit 0; \
	fi; \
	exit $$status

comma := ,

.PHONY: generate
generate: ## rewrite the files that are generated
	go generate ./...
	cd $(ALLINONE) && go generate ./...

# The sources' checksums. No git is needed for this, and a tree with changes
# of one's own is none the worse.
checksums = find . -type f -not -path './.git/*' -not -path './build/*' -exec sha256sum {} + | sort -k 2

.PHONY: generated
generated: ## fail if a generated file is out of date
	@mkdir -p build
	@$(checksums) >build/checksums.before
	@$(MAKE) --no-print-directory generate
	@$(checksums) >build/checksums.after
	@diff build/checksums.before build/checksums.after || \
		{ echo 'The files above were out of date: run "make generate" and commit them.' >&2; exit 1; }

.PHONY: check
check: test lint generated ## what CI runs

# Debian's packages that the tests need and this machine lacks. A broker that
# came this way, or a Prometheus, is not left running: the tests start their own, and it
# would keep the port that the demo wants.
.PHONY: deps
deps:
	@PATH="$$PATH:/usr/sbin:/usr/local/sbin"; missing=; \
	command -v mosquitto >/dev/null || missing="mosquitto"; \
	command -v promtool >/dev/null || missing="$$missing prometheus"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	echo '#include <stdlib.h>' | gcc -E - >/dev/null 2>&1 || missing="$$missing gcc libc6-dev"; \
	[ -n "$$missing" ] || exit 0; \
	if ! command -v apt-get >/dev/null; then \
		echo "Install $$missing with this system's package manager, then try again." >&2; exit 1; \
	fi; \
	echo "Installing $$missing"; \
	$(SUDO) apt-get update -qq && \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing || exit 1; \
	if [ -d /run/systemd/system ]; then \
		for service in mosquitto prometheus; do \
			case $$missing in *$$service*) $(SUDO) systemctl disable --quiet --now $$service;; esac; \
		done; \
	fi

# Programs that tests and measurements run beside ours, each pinned by a module
# of its own. "go tool -modfile=deploy/tools/<tool>/go.mod <tool>" runs one too.
.PHONY: tools
tools: build/tools/influxd build/tools/alertmanager build/tools/amtool build/tools/telegraf ## build the pinned programs that tests and bench use

build/tools/influxd: deploy/tools/influxd/go.mod
	$(call heading,Building InfluxDB)
	cd deploy/tools/influxd && $(GO_BUILD) -ldflags '-X main.version=1.8.10' -o $(CURDIR)/$@ github.com/influxdata/influxdb/cmd/influxd
	@touch $@

build/tools/alertmanager build/tools/amtool: build/tools/%: deploy/tools/alertmanager/go.mod
	$(call heading,Building $*)
	cd deploy/tools/alertmanager && $(GO_BUILD) -o $(CURDIR)/$@ github.com/prometheus/alertmanager/cmd/$*
	@touch $@

# Telegraf with the plug-ins that the comparison uses: all of them take 300 MB.
build/tools/telegraf: deploy/tools/telegraf/go.mod
	$(call heading,Building Telegraf)
	cd deploy/tools/telegraf && $(GO_BUILD) -tags custom,inputs.mqtt_consumer,outputs.influxdb_v2,parsers.json \
		-ldflags '-X github.com/influxdata/telegraf/internal.Version=1.37.2' -o $(CURDIR)/$@ github.com/influxdata/telegraf/cmd/telegraf
	@touch $@

.PHONY: influxd2
influxd2: build/tools/influxd2 ## build InfluxDB 2.7; needs Rust, and ten minutes

# Its query language is a Rust library, which its own pkg-config builds when cgo
# asks for it. The wrapper gets a newer compiler past warnings.
build/tools/influxd2: export PATH := $(CURDIR)/build/pkg-config:$(PATH)
build/tools/influxd2: export RUSTUP_TOOLCHAIN ?= stable
build/tools/influxd2: export RUSTC_WRAPPER := $(CURDIR)/deploy/tools/influxd2/rustc
build/tools/influxd2: deploy/tools/influxd2/go.mod
	$(call heading,Building InfluxDB 2.7)
	@command -v cargo >/dev/null || { echo 'Install Rust (https://rustup.rs), then try again.' >&2; exit 1; }
	cd deploy/tools/influxd2 && $(GO_BUILD) -o $(CURDIR)/build/pkg-config/pkg-config github.com/influxdata/pkg-config
	cd deploy/tools/influxd2 && go build -ldflags '-X main.version=2.7.12' -o $(CURDIR)/$@ github.com/influxdata/influxdb/v2/cmd/influxd
	@touch $@

build/tools/golangci-lint: deploy/tools/golangci-lint/go.mod
	$(call heading,Building golangci-lint)
	cd deploy/tools/golangci-lint && $(GO_BUILD) -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

build/tools/nfpm: deploy/tools/nfpm/go.mod
	$(call heading,Building nfpm)
	cd deploy/tools/nfpm && $(GO_BUILD) -o $(CURDIR)/$@ github.com/goreleaser/nfpm/v2/cmd/nfpm
	@touch $@

build/tools/govulncheck: deploy/tools/govulncheck/go.mod
	$(call heading,Building govulncheck)
	cd deploy/tools/govulncheck && $(GO_BUILD) -o $(CURDIR)/$@ golang.org/x/vuln/cmd/govulncheck
	@touch $@
