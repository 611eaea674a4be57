package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/objectkms/kms"
)

// operations counts and times operations for Prometheus.
type operations struct {
	total    *prometheus.CounterVec
	attempts *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// newOperations registers the metrics of operations.
func newOperations(registry prometheus.Registerer) *operations {
	o := &operations{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kms_operations_total", Help: "Operations that have ended, by the kind of their error; None is success.",
		}, []string{"operation", "backend", "cache_hit", "kind"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kms_attempts_total", Help: "Requests to the backend.",
		}, []string{"operation", "backend"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kms_operation_duration_seconds", Help: "Time from a call to its answer.",
			Buckets: prometheus.ExponentialBuckets(1e-6, 4, 12), // 1 µs to 4 s
		}, []string{"operation", "backend"}),
	}
	registry.MustRegister(o.total, o.attempts, o.duration)
	return o
}

// observe is a kms.Observer.
func (o *operations) observe(_ context.Context, op kms.Operation) {
	kind := "None"
	if op.Err != nil {
		kind = op.Kind.String()
	}
	hit := "false"
	if op.CacheHit {
		hit = "true"
	}
	o.total.WithLabelValues(op.Op, op.Backend, hit, kind).Inc()
	o.attempts.WithLabelValues(op.Op, op.Backend).Add(float64(op.Attempts))
	o.duration.WithLabelValues(op.Op, op.Backend).Observe(op.Duration.Seconds())
}

// status exposes the status of a ServiceManager: it is asked at each scrape.
type status struct {
	service *kms.ServiceManager
}

// Describe sends nothing: the collector is an unchecked one, since labels such as the state change.
func (status) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector]. Nodes of a cluster that are configured differently differ in the fingerprint of kms_service_info.
func (s status) Collect(out chan<- prometheus.Metric) {
	now := s.service.Status()
	send := func(kind prometheus.ValueType, name, help string, value float64, labels prometheus.Labels) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, labels), kind, value)
	}
	gauge := func(name, help string, value float64) { send(prometheus.GaugeValue, name, help, value, nil) }
	send(prometheus.GaugeValue, "kms_service_info", "What is configured.", 1,
		prometheus.Labels{"state": string(now.State), "backend": now.BackendType, "fingerprint": now.Fingerprint})
	gauge("kms_service_generation", "Managers that were published.", float64(now.Generation))
	gauge("kms_service_change_failed", "1 while the last change of the configuration has failed.", oneIf(now.Err != nil))
	gauge("kms_service_draining", "Managers that were replaced and still have calls in flight.", float64(now.Draining))
	for name, cache := range map[string]kms.CacheCounts{"keys": now.Cache.Keys, "data_keys": now.Cache.DataKeys} {
		labels := prometheus.Labels{"cache": name}
		count := func(name, help string, value uint64) {
			send(prometheus.CounterValue, name, help, float64(value), labels)
		}
		send(prometheus.GaugeValue, "kms_cache_entries", "Entries of a cache.", float64(cache.Entries), labels)
		count("kms_cache_hits_total", "Hits of a cache since the last change of the configuration.", cache.Hits)
		count("kms_cache_misses_total", "Misses of a cache since the last change of the configuration.", cache.Misses)
		count("kms_cache_evictions_total", "Entries that left a cache since the last change of the configuration.", cache.Evictions)
	}
	gauge("kms_breaker_open", "1 while the breaker keeps calls from the backend.", oneIf(now.Backend.Breaker == kms.BreakerOpen))
	send(prometheus.CounterValue, "kms_breaker_trips_total", "How often the breaker has opened.", float64(now.Backend.Trips), nil)
	gauge("kms_probe_failures", "Probes that failed in a row.", float64(now.Probe.Failures))
	gauge("kms_probe_age_seconds", "Time since the last probe; -1 before the first one.", age(now.Probe.At))
	gauge("kms_sweep_halted", "1 while the clocks disagree and no key is removed.", oneIf(now.Sweep.Halted))
	gauge("kms_sweep_age_seconds", "Time since the last sweep; -1 before the first one.", age(now.Sweep.At))
	gauge("kms_sweep_kept_keys", "Keys past their deletion date that the last sweep did not remove.", float64(len(now.Sweep.Kept)))
}

func oneIf(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func age(at time.Time) float64 {
	if at.IsZero() {
		return -1
	}
	return time.Since(at).Seconds()
}
