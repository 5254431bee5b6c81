# Every target is a line that a person could type. Only Go and make are needed
# for `build` and `test`; what else a target needs it installs or fetches by a
# pinned version.

GO            ?= go
GOLANGCI_LINT ?= $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   ?= $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0
HELM_DOCS     ?= $(GO) run github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2
FUZZTIME      ?= 20s
KILLS         ?= 20
SEEDS         ?= 2000
SEED          ?= 1000
ROUNDS        ?= 30
VERSION       ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
ARCH          ?= $(shell $(GO) env GOARCH)
IMAGE         ?= localhost/holdfast:$(VERSION)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## start a node on 127.0.0.1:8080 with its data in ./holdfast-data
	$(GO) run ./cmd/holdfast

.PHONY: cluster
cluster: build ## start three nodes on 127.0.0.1:8080, :8180 and :8280 with their data in ./holdfast-cluster
	deploy/local-cluster bin/holdfast ./holdfast-cluster 3

.PHONY: build
build: ## build bin/holdfast
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/holdfast ./cmd/holdfast

.PHONY: image
image: ## make a container image without a container engine: bin/holdfast-image-ARCH.tar
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.release=$(VERSION)' -o bin/holdfast-linux-$(ARCH) ./cmd/holdfast
	$(GO) run ./deploy/image -binary bin/holdfast-linux-$(ARCH) -arch $(ARCH) -version '$(VERSION)' -name '$(IMAGE)' -o bin/holdfast-image-$(ARCH).tar

.PHONY: test
test: ## run all tests
	$(GO) test ./...

# One processor for each package's tests, of which several run at once: in Go 1.26 two
# that run timers of one synctest bubble share its context of the race detector
# (runtime.(*timer).unlockAndRun), which crashes in one of some twenty runs.
RACE = CGO_ENABLED=1 $(GO) test -race -short -cpu=1

.PHONY: race
race: gcc ## run the tests under the race detector: few seeds, and no processes, which it does not see into
	$(RACE) -timeout=20m ./...

.PHONY: race10
race10: gcc ## the race run, ten times in a row
	$(RACE) -count=10 -timeout=120m ./...

.PHONY: kill
kill: ## SIGKILL the real binary under load, KILLS times
	$(GO) test -count=1 -timeout=30m -run=TestKill ./cmd/holdfast -kills=$(KILLS) -v

.PHONY: failover
failover: ## SIGKILL and SIGSTOP nodes of a cluster of real processes under load, ROUNDS times
	$(GO) test -count=1 -timeout=60m -parallel=1 -run=TestFailover ./cmd/holdfast -failovers=$(ROUNDS) -v

.PHONY: sim
sim: ## play with whole clusters in virtual time: SEEDS seeds, from SEED on
	$(GO) test -count=1 -timeout=60m -run='TestCluster(Seeds|Scenes|Catches|Growth)|TestSuiteOnCluster' ./cmd/holdfast -days -seeds=$(SEEDS) -seed=$(SEED)

.PHONY: sockets
sockets: ## kill and freeze the owner of rooms with 1,000 sockets at other nodes
	$(GO) test -count=1 -timeout=30m -run=TestSocketsOutliveTheOwner ./cmd/holdfast -sockets=1000 -v

.PHONY: planned
planned: ## restart every node of a real cluster under load, grow it and shrink it, without a failed call
	$(GO) test -count=1 -timeout=30m -run='TestRollingRestart|TestGrowAndShrink' ./cmd/holdfast -planned -v

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	.ci/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## measure throughput, latency, fan-out and memory as ratios
	$(GO) run ./cmd/holdfast-bench

.PHONY: bench-cluster
bench-cluster: ## measure three nodes against three members of etcd (Debian: apt-get install etcd-server)
	$(GO) run ./cmd/holdfast-bench cluster

.PHONY: bench-idle
bench-idle: ## measure CPU and memory of three nodes that nobody uses
	$(GO) run ./cmd/holdfast-bench idle

.PHONY: chart
chart: ## check the Helm chart: schema, templates, Kubernetes' own schemas, rules, README (files outside the module: no test cache)
	cd helm/checks && $(GO) test -count=1 ./...
	$(HELM_DOCS) --chart-search-root helm/holdfast --log-level warning
	git diff --exit-code -- helm/holdfast/README.md

.PHONY: manifests
manifests: ## write deploy/kubernetes anew, from the chart
	cd helm/checks && $(GO) test -count=1 -run=TestManifests . -update

.PHONY: k8s-test
k8s-test: ## install the chart on the cluster that kubectl points at, and do to it under load what happens to clusters
	deploy/k8s-test

.PHONY: lint
lint: ## gofmt, go vet and golangci-lint
	test -z "$$(gofmt -l .)"
	$(GO) vet ./...
	$(GOLANGCI_LINT) run

.PHONY: fmt
fmt: ## rewrite the code in the project's format
	$(GOLANGCI_LINT) fmt

.PHONY: vuln
vuln: ## look for known vulnerabilities
	$(GOVULNCHECK) ./...

.PHONY: gcc
gcc:
	.ci/need-gcc
