package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

// exercise makes a key and a data key, decrypts it twice, and fails once.
func exercise(t *testing.T, ctx context.Context, keys kms.KeyService) {
	t.Helper()
	_, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "photos"})
	require.NoError(t, err)
	made, err := keys.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "photos", Context: kms.EncryptionContext{"album": "hunter2"}})
	require.NoError(t, err)
	for range 2 {
		_, err = keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: made.Ciphertext, Context: kms.EncryptionContext{"album": "hunter2"}})
		require.NoError(t, err)
	}
	_, err = keys.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: made.Ciphertext})
	require.ErrorIs(t, err, kms.ErrDecrypt)
}

func TestOpenTelemetryRecordsMetricsAndSpans(t *testing.T) {
	ctx := t.Context()
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	observer, err := openTelemetry(meters.Meter("test"), tracer)
	require.NoError(t, err)
	keys := kms.NewManager(mock.New(), kms.Options{Observer: observer})
	defer keys.Close()

	ctx, parent := tracer.Start(ctx, "PUT")
	exercise(t, ctx, keys)
	parent.End()

	ended := spans.Ended()
	require.Len(t, ended, 6)
	var names []string
	for _, s := range ended[:5] {
		names = append(names, s.Name())
		require.Equal(t, parent.SpanContext().SpanID(), s.Parent().SpanID(), "a span belongs to the caller's")
		require.False(t, s.EndTime().Before(s.StartTime()))
		for _, attr := range s.Attributes() {
			require.NotContains(t, attr.Value.String(), "hunter2")
		}
	}
	require.Equal(t, []string{"kms.CreateKey", "kms.GenerateDataKey", "kms.Decrypt", "kms.Decrypt", "kms.Decrypt"}, names)
	require.Contains(t, ended[3].Attributes(), attribute.Bool("kms.cache_hit", true))
	require.Contains(t, ended[3].Attributes(), attribute.String("kms.key_id", "photos"))
	require.Equal(t, codes.Unset, ended[3].Status().Code)
	require.Equal(t, codes.Error, ended[4].Status().Code)
	require.Contains(t, ended[4].Attributes(), attribute.String("error.type", "Crypto"))

	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(ctx, &data))
	require.Len(t, data.ScopeMetrics, 1)
	found := make(map[string]uint64)
	for _, m := range data.ScopeMetrics[0].Metrics {
		switch points := m.Data.(type) {
		case metricdata.Histogram[float64]:
			for _, p := range points.DataPoints {
				found[m.Name] += p.Count
				require.False(t, p.Attributes.HasValue("kms.key_id"))
			}
		case metricdata.Sum[int64]:
			for _, p := range points.DataPoints {
				found[m.Name] += uint64(p.Value)
			}
		}
	}
	require.Equal(t, map[string]uint64{"kms.operation.duration": 5, "kms.operation.attempts": 4}, found, "the cache was asked once")
}

func TestPrometheusCountsOperations(t *testing.T) {
	registry := prometheus.NewRegistry()
	keys := kms.NewManager(mock.New(), kms.Options{Observer: newOperations(registry).observe})
	defer keys.Close()
	exercise(t, t.Context(), keys)
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP kms_attempts_total Requests to the backend.
# TYPE kms_attempts_total counter
kms_attempts_total{backend="mock",operation="CreateKey"} 1
kms_attempts_total{backend="mock",operation="Decrypt"} 2
kms_attempts_total{backend="mock",operation="GenerateDataKey"} 1
# HELP kms_operations_total Operations that have ended, by the kind of their error; None is success.
# TYPE kms_operations_total counter
kms_operations_total{backend="mock",cache_hit="false",kind="Crypto",operation="Decrypt"} 1
kms_operations_total{backend="mock",cache_hit="false",kind="None",operation="CreateKey"} 1
kms_operations_total{backend="mock",cache_hit="false",kind="None",operation="Decrypt"} 1
kms_operations_total{backend="mock",cache_hit="false",kind="None",operation="GenerateDataKey"} 1
kms_operations_total{backend="mock",cache_hit="true",kind="None",operation="Decrypt"} 1
`), "kms_operations_total", "kms_attempts_total"))
	count, err := testutil.GatherAndCount(registry, "kms_operation_duration_seconds")
	require.NoError(t, err)
	require.Equal(t, 3, count)
}

func TestPrometheusExposesTheStatus(t *testing.T) {
	var audit bytes.Buffer
	service, registry, err := newService(slog.New(slog.NewJSONHandler(&audit, nil)))
	require.NoError(t, err)
	defer service.Stop(t.Context())
	gather := func(metric string) float64 {
		t.Helper()
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, family := range families {
			if family.GetName() == metric {
				return family.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatalf("no metric %s", metric)
		return 0
	}
	require.Zero(t, gather("kms_service_generation"))
	require.Equal(t, -1.0, gather("kms_sweep_age_seconds"))

	backend := mock.New()
	service.Probe.Interval = 0
	require.NoError(t, service.Reconfigure(t.Context(), kms.Config{Backend: backend}))
	exercise(t, kms.WithPrincipal(t.Context(), "anna"), service)
	require.Equal(t, 1.0, gather("kms_service_generation"))
	require.Zero(t, gather("kms_service_change_failed"))
	backend.FailNext("Open", errors.New("down"))
	require.Error(t, service.Restart(t.Context()))
	require.Equal(t, 1.0, gather("kms_service_change_failed"))
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP kms_cache_hits_total Hits of a cache since the last change of the configuration.
# TYPE kms_cache_hits_total counter
kms_cache_hits_total{cache="data_keys"} 1
kms_cache_hits_total{cache="keys"} 1
`), "kms_cache_hits_total"))

	require.NotContains(t, audit.String(), "hunter2")
	lines := strings.Split(strings.TrimSpace(audit.String()), "\n")
	require.Len(t, lines, 7, "Reconfigure, five operations, and Restart")
	var line struct{ Principal, Op string }
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &line))
	require.Equal(t, "anna", line.Principal)
	require.Equal(t, "CreateKey", line.Op)
}

func TestTheServerServesMetricsUntilItsContextEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- run(ctx, listener) }()
	resp, err := http.Get("http://" + listener.Addr().String() + "/metrics")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Contains(t, string(body), `kms_service_info{backend="mock"`)
	cancel()
	require.NoError(t, <-ended)
}
