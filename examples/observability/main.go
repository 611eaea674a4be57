// Command observability shows how a server watches a ServiceManager: metrics for Prometheus, metrics and traces for OpenTelemetry, and audit
// records as JSON lines. It serves /metrics on a loopback address and writes traces nowhere: a server brings its own exporters.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

func main() {
	address := flag.String("listen", "127.0.0.1:9100", "where /metrics is served")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := listen(ctx, *address); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func listen(ctx context.Context, address string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return run(ctx, listener)
}

// newService returns a ServiceManager that is watched in every way, and the registry with its metrics.
func newService(audit *slog.Logger) (*kms.ServiceManager, *prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	counted := newOperations(registry)
	// The global providers are set by the server's main, and do nothing until then.
	traced, err := openTelemetry(otel.Meter("kms"), otel.Tracer("kms"))
	if err != nil {
		return nil, nil, err
	}
	service := &kms.ServiceManager{
		Hooks: kms.Hooks{
			Observer: both(counted.observe, traced),
			Audit:    kms.AuditOptions{Sink: kms.AuditTo(audit)}, // a server gives every node the same Key
		},
		Probe: kms.ProbeOptions{Interval: 10 * time.Second},
	}
	return service, registry, registry.Register(status{service})
}

// both returns an Observer that tells two.
func both(one, two kms.Observer) kms.Observer {
	return func(ctx context.Context, op kms.Operation) {
		one(ctx, op)
		two(ctx, op)
	}
}

// run serves metrics until ctx ends. It closes the listener.
func run(ctx context.Context, listener net.Listener) error {
	defer listener.Close()
	service, registry, err := newService(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	if err != nil {
		return err
	}
	cfg := kms.Config{Backend: mock.New(), Options: kms.Options{DefaultKeyID: "photos"}}
	if err := service.Reconfigure(ctx, cfg); err != nil {
		return err
	}
	defer service.Stop(context.WithoutCancel(ctx))
	if _, err := service.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "photos"}); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
