package checks

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// alertCase is two worlds: one in which an alert's expression gives something, and one
// like it in which it gives nothing. Each line is a series in the notation of
// Prometheus' own tests: the name with labels, and values a minute apart.
type alertCase struct {
	fires string
	quiet string
	value float64 // of the expression where it fires
}

const (
	nodeA, nodeB = `job="h",instance="a"`, `job="h",instance="b"`
	day          = 24 * 60 // minutes
)

// lines puts series together, and gives each the values that follow it.
func lines(parts ...string) string { return strings.Join(parts, "\n") }

func series(name, labels, values string) string { return name + "{" + labels + "} " + values }

func alertCases() map[string]alertCase {
	requests := func(ok, failed string) string {
		return lines(
			series("holdfast_requests_total", nodeA+`,class="Counter",code="2xx"`, ok),
			series("holdfast_requests_total", nodeA+`,class="Counter",code="4xx"`, "0+600x90"),
			series("holdfast_requests_total", nodeB+`,class="Counter",code="5xx"`, failed))
	}
	buckets := func(name, more, least, all string) string {
		return lines(
			series(name+"_bucket", nodeA+more+`,le="0.0128"`, least), series(name+"_bucket", nodeA+more+`,le="0.8192"`, all),
			series(name+"_bucket", nodeA+more+`,le="163.84"`, all), series(name+"_bucket", nodeA+more+`,le="+Inf"`, all))
	}
	nodes := func(in, gone, up string) string {
		return lines(
			series("holdfast_nodes", nodeA+`,state="in"`, in), series("holdfast_nodes", nodeA+`,state="gone"`, gone),
			series("holdfast_nodes", nodeA+`,state="leaving"`, "0x90"), series("holdfast_nodes", nodeA+`,state="left"`, "1x90"),
			series("holdfast_nodes_up", nodeA, up), series("holdfast_started", nodeA, "1x90"))
	}
	gauge := func(name, fires, quiet string, value float64) alertCase {
		return alertCase{series(name, nodeA, fires), series(name, nodeA, quiet), value}
	}
	return map[string]alertCase{
		"HoldfastAbsent":         {series("holdfast_started", nodeA, "1x90"), series("holdfast_build_info", nodeA+`,version="v1"`, "1x90"), 1},
		"HoldfastNodeDown":       {nodes("2x90", "1x90", "2x90"), nodes("3x90", "0x90", "3x90"), 1},
		"HoldfastNodeNotScraped": {nodes("3x90", "0x90", "3x90"), nodes("1x90", "2x90", "1x90"), 1},
		"HoldfastNodeNotReady":   gauge("holdfast_ready", "0x90", "1x90", 0),
		"HoldfastNodeAiling":     gauge("holdfast_ailing", "1x90", "0x90", 1),
		"HoldfastStuckHandlers":  gauge("holdfast_stuck_handlers", "2x90", "0x90", 2),
		"HoldfastMemoryHigh": {
			lines(series("holdfast_memory_needed_bytes", nodeA, "85x90"), series("holdfast_memory_limit_bytes", nodeA, "100x90")),
			lines(series("holdfast_memory_needed_bytes", nodeA, "85x90"), series("holdfast_memory_limit_bytes", nodeA, "0x90"),
				series("holdfast_memory_needed_bytes", nodeB, "75x90"), series("holdfast_memory_limit_bytes", nodeB, "100x90")),
			0.85,
		},
		"HoldfastCertificateExpires": {
			lines(series("holdfast_internal_certificate_expiry_timestamp_seconds", nodeA, "1000000x90"), series("holdfast_internal_certificate_issue_timestamp_seconds", nodeA, "-9000000x90")),
			lines(series("holdfast_internal_certificate_expiry_timestamp_seconds", nodeA, "2000000x90"), series("holdfast_internal_certificate_issue_timestamp_seconds", nodeA, "-9000000x90"),
				series("holdfast_internal_certificate_expiry_timestamp_seconds", nodeB, "100000x90"), series("holdfast_internal_certificate_issue_timestamp_seconds", nodeB, "-72800x90"), // of two days, with one left
				series("holdfast_internal_certificate_expiry_timestamp_seconds", `job="h",instance="c"`, "Inf"), series("holdfast_internal_certificate_issue_timestamp_seconds", `job="h",instance="c"`, "0x90")),
			1000000 - 90*60,
		},
		"HoldfastCertificateRefused": gauge("holdfast_internal_certificate_refused", "1x90", "0x90", 1),
		"HoldfastShardsWithoutOwner": {
			lines(series("holdfast_shards_without_owner", nodeA, "0x90"), series("holdfast_shards_without_owner", nodeB, "3x90")),
			lines(series("holdfast_shards_without_owner", nodeA, "0x90"), series("holdfast_shards", nodeA, "32x90"),
				series("holdfast_shards_owned", nodeA, "20x90"), series("holdfast_control_leader", nodeA, "1x90")), // another node is not scraped
			3,
		},
		"HoldfastNoControlLeader": {
			lines(series("holdfast_control_has_leader", nodeA, "0x90"), series("holdfast_control_has_leader", nodeB, "0x90")),
			lines(series("holdfast_control_has_leader", nodeA, "0x90"), series("holdfast_control_has_leader", nodeB, "1x90")), 0,
		},
		"HoldfastShardsLost":      gauge("holdfast_shards_lost", "1x90", "0x90", 1),
		"HoldfastReducedReplicas": gauge("holdfast_shards_reduced", "5x90", "0x90", 5),
		"HoldfastReplicaStopped":  gauge("holdfast_replicas_stopped", "1x90", "0x90", 1),
		"HoldfastReplicaStalled":  gauge("holdfast_replicas_stalled", "1x90", "0x90", 1),
		"HoldfastReplicaLag":      gauge("holdfast_replica_lag_entries", "20000x90", "2000x90", 20000),
		"HoldfastMovesStalled": {
			lines(series("holdfast_shards_moving", nodeA, "2x90"), series("holdfast_shard_steps_total", nodeA+`,step="promote",outcome="ok"`, "7x90"),
				series("holdfast_shard_steps_total", nodeA+`,step="promote",outcome="error"`, "0+1x90")),
			lines(series("holdfast_shards_moving", nodeA, "2x90"), series("holdfast_nodes", nodeA+`,state="leaving"`, "1x90"),
				series("holdfast_shard_steps_total", nodeA+`,step="promote",outcome="ok"`, "0+1x90")),
			2,
		},
		"HoldfastElectionStorm": {
			lines(series("holdfast_shards", nodeA, "32x90"), series("holdfast_elections_won_total", nodeA, "0+20x90")),
			lines(series("holdfast_shards", nodeA, "32x90"), series("holdfast_elections_won_total", nodeA, "0+10x90")), 200,
		},
		"HoldfastSnapshotsFail": {
			series("holdfast_snapshots_taken_total", nodeA+`,outcome="error"`, "0+1x90"),
			lines(series("holdfast_snapshots_taken_total", nodeA+`,outcome="ok"`, "0+1x90"), series("holdfast_snapshots_taken_total", nodeA+`,outcome="error"`, "2x90")), 30,
		},
		"HoldfastErrors":     {requests("0+5280x90", "0+120x90"), requests("0+5395x90", "0+5x90"), 0.02},
		"HoldfastManyErrors": {requests("0+4200x90", "0+1200x90"), requests("0+5280x90", "0+120x90"), 0.2},
		"HoldfastUnknownOutcomes": {
			series("holdfast_request_errors_total", nodeA+`,reason="outcome_unknown"`, "0+6x90"),
			lines(series("holdfast_request_errors_total", nodeA+`,reason="outcome_unknown"`, "40x90"), series("holdfast_request_errors_total", nodeA+`,reason="overloaded"`, "0+60x90")), 0.1,
		},
		"HoldfastOverloaded": {
			lines(requests("0+5400x90", "0x90"), series("holdfast_request_errors_total", nodeA+`,reason="overloaded"`, "0+60x90"),
				series("holdfast_request_errors_total", nodeA+`,reason="mailbox_full"`, "0+30x90"), series("holdfast_connections_refused_total", nodeA, "0+30x90")),
			lines(requests("0+5400x90", "0+60x90"), series("holdfast_request_errors_total", nodeA+`,reason="not_owner"`, "0+600x90"),
				series("holdfast_request_errors_total", nodeA+`,reason="overloaded"`, "0x90"), series("holdfast_connections_refused_total", nodeA, "0x90")), 0.02,
		},
		"HoldfastQuarantinedObjects": gauge("holdfast_quarantined_objects", "1x90", "0x90", 1),
		"HoldfastAlarmsLate":         {buckets("holdfast_alarm_late_seconds", "", "0+40x90", "0+40x90") + lines("", series("holdfast_alarm_late_seconds_bucket", nodeB+`,le="0.8192"`, "0x90"), series("holdfast_alarm_late_seconds_bucket", nodeB+`,le="163.84"`, "0+10x90"), series("holdfast_alarm_late_seconds_bucket", nodeB+`,le="+Inf"`, "0+10x90")), buckets("holdfast_alarm_late_seconds", "", "0+99x90", "0+100x90"), math.NaN()},
		"HoldfastAlarmsDropped": {
			series("holdfast_alarm_runs_total", nodeA+`,retry="true",outcome="dropped"`, "0x40 1x50"),
			lines(series("holdfast_alarm_runs_total", nodeA+`,retry="true",outcome="dropped"`, "3x90"), series("holdfast_alarm_runs_total", nodeA+`,retry="true",outcome="failed"`, "0+1x90")), math.NaN(),
		},
		"HoldfastSocketsParked":  {lines(series("holdfast_sockets_parked", nodeA, "0x90"), series("holdfast_sockets_parked", nodeB, "7x90")), series("holdfast_sockets_parked", nodeA, "7x80 0x10"), 7},
		"HoldfastSocketsGivenUp": {series("holdfast_sockets_given_up_total", nodeA, "0x85 4x5"), series("holdfast_sockets_given_up_total", nodeA, "0x60 4x30"), math.NaN()},
		"HoldfastSlowCommits":    {buckets("holdfast_commit_duration_seconds", `,outcome="committed"`, "0+90x90", "0+100x90"), buckets("holdfast_commit_duration_seconds", `,outcome="committed"`, "0+100x90", "0+100x90"), math.NaN()},
		"HoldfastSlowDisk":       {buckets("holdfast_log_sync_duration_seconds", "", "0+90x90", "0+100x90"), buckets("holdfast_log_sync_duration_seconds", "", "0+100x90", "0+100x90"), math.NaN()},
		"HoldfastLogStalled":     gauge("holdfast_log_stalled", "1x90", "0x90", 1),
		"HoldfastDiskFilling": {
			lines(series("holdfast_data_disk_free_bytes", nodeA, "1000-1x90"), series("holdfast_data_disk_size_bytes", nodeA, "5000x90"), series("holdfast_data_disk_reserve_bytes", nodeA, "64x90")),
			lines(series("holdfast_data_disk_free_bytes", nodeA, "4500-4x90"), series("holdfast_data_disk_size_bytes", nodeA, "5000x90"), series("holdfast_data_disk_reserve_bytes", nodeA, "64x90"),
				series("holdfast_data_disk_free_bytes", nodeB, "NaN"), series("holdfast_data_disk_size_bytes", nodeB, "NaN"), series("holdfast_data_disk_reserve_bytes", nodeB, "64x90")),
			1000 - 90 - day,
		},
		"HoldfastDiskLow": {
			lines(series("holdfast_data_disk_free_bytes", nodeA, "364x90"), series("holdfast_data_disk_size_bytes", nodeA, "5000x90"), series("holdfast_data_disk_reserve_bytes", nodeA, "64x90")),
			lines(series("holdfast_data_disk_free_bytes", nodeA, "1000x90"), series("holdfast_data_disk_size_bytes", nodeA, "5000x90"), series("holdfast_data_disk_reserve_bytes", nodeA, "64x90"),
				series("holdfast_data_disk_free_bytes", nodeB, "NaN"), series("holdfast_data_disk_size_bytes", nodeB, "NaN"), series("holdfast_data_disk_reserve_bytes", nodeB, "64x90")),
			0.06,
		},
		"HoldfastStorageFull": gauge("holdfast_storage_full", "1x90", "0x90", 1),
	}
}

// Each alert fires in one world and not in one like it. The last minute is looked at;
// for how long it must be so is up to Prometheus.
func TestAlerts(t *testing.T) {
	cases := alertCases()
	for _, group := range readRules(t).Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" {
				continue
			}
			c, ok := cases[rule.Alert]
			delete(cases, rule.Alert)
			if !ok {
				t.Errorf("%s: there is no case", rule.Alert)
				continue
			}
			expression := expressionOf(t, rule.Alert)
			if got := evaluate(t, expression, c.fires); len(got) != 1 || math.Abs(got[0].F-c.value) > 1e-6*math.Abs(c.value) && !math.IsNaN(c.value) {
				t.Errorf("%s: %v, want one alert with %v", rule.Alert, got, c.value)
			}
			if got := evaluate(t, expression, c.quiet); len(got) != 0 {
				t.Errorf("%s: %v, want no alert", rule.Alert, got)
			}
		}
	}
	for name := range cases {
		t.Errorf("%s: there is no such alert", name)
	}
}

// Some alerts have more than one reason.
func TestAlertsForOtherReasons(t *testing.T) {
	// A control leader is gone with most of the nodes, so nobody counts what has no owner.
	without := func(owned string) string {
		return lines(series("holdfast_shards", nodeA, "32x90"), series("holdfast_shards_owned", nodeA, owned),
			series("holdfast_control_leader", nodeA, "0x90"), series("holdfast_shards_without_owner", nodeA, "0x90"))
	}
	leaving := func(steps string) string {
		return lines(series("holdfast_shards_moving", nodeA, "0x90"), series("holdfast_nodes", nodeA+`,state="leaving"`, "1x90"),
			series("holdfast_shard_steps_total", nodeA+`,step="remove",outcome="ok"`, steps))
	}
	down := lines(leaving("9x90"), series("holdfast_nodes", nodeA+`,state="in"`, "2x90"), series("holdfast_nodes_up", nodeA, "2x90"))
	few := lines(series("holdfast_requests_total", nodeA+`,class="Counter",code="2xx"`, "0+2x90"), series("holdfast_requests_total", nodeA+`,class="Counter",code="5xx"`, "0+2x90"))
	for _, c := range []struct {
		alert, world string
		want         []float64
	}{
		{"HoldfastShardsWithoutOwner", without("12x90"), []float64{20}},
		{"HoldfastShardsWithoutOwner", without("32x90"), nil},
		{"HoldfastMovesStalled", leaving("9x90"), []float64{1}},
		{"HoldfastMovesStalled", leaving("0+1x90"), nil},
		{"HoldfastMovesStalled", down, nil}, // that is alert enough
		{"HoldfastErrors", few, []float64{0.5}},
		{"HoldfastManyErrors", few, nil}, // nobody gets up for two requests
	} {
		var got []float64
		for _, sample := range evaluate(t, expressionOf(t, c.alert), c.world) {
			got = append(got, sample.F)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s in\n%s\ngives %v, want %v", c.alert, c.world, got, c.want)
		}
	}
}

// expressionOf gives what an alert is about, with what it uses of recorded series.
func expressionOf(t *testing.T, alert string) (expression string) {
	t.Helper()
	recorded := make(map[string]string)
	for _, group := range readRules(t).Groups {
		for _, rule := range group.Rules {
			if rule.Record != "" {
				recorded[rule.Record] = rule.Expr
			} else if rule.Alert == alert {
				expression = rule.Expr
			}
		}
	}
	for name, expr := range recorded {
		expression = strings.ReplaceAll(expression, name, "("+expr+")")
	}
	if expression == "" {
		t.Fatalf("there is no alert %s", alert)
	}
	return expression
}
