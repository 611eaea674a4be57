package main

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/objectkms/kms"
)

// openTelemetry returns an Observer that records each operation as a duration, its attempts, and a span below that of the caller's context.
//
// Key ids are in spans and not in metrics, where each would be a series of its own.
func openTelemetry(meter metric.Meter, tracer trace.Tracer) (kms.Observer, error) {
	duration, errDuration := meter.Float64Histogram("kms.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from a call to its answer"))
	attempts, errAttempts := meter.Int64Counter("kms.operation.attempts",
		metric.WithDescription("Requests to the backend"))
	if err := errors.Join(errDuration, errAttempts); err != nil {
		return nil, err
	}
	return func(ctx context.Context, op kms.Operation) {
		set := metric.WithAttributes(attributesOf(op)...)
		duration.Record(ctx, op.Duration.Seconds(), set)
		attempts.Add(ctx, int64(op.Attempts), set)
		span(ctx, tracer, op)
	}, nil
}

// attributesOf returns what metrics and spans have in common. Each has few values.
func attributesOf(op kms.Operation) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String("kms.operation", op.Op),
		attribute.String("kms.backend", op.Backend),
		attribute.Bool("kms.cache_hit", op.CacheHit),
	}
	if op.Err != nil {
		attrs = append(attrs, attribute.String("error.type", op.Kind.String()))
	}
	return attrs
}

// span records a span of the past: an Observer is called when the operation has ended.
func span(ctx context.Context, tracer trace.Tracer, op kms.Operation) {
	ended := time.Now()
	_, s := tracer.Start(ctx, "kms."+op.Op, trace.WithTimestamp(ended.Add(-op.Duration)),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributesOf(op)...))
	if op.KeyID != "" {
		s.SetAttributes(attribute.String("kms.key_id", op.KeyID))
	}
	s.SetAttributes(attribute.Int("kms.attempts", op.Attempts))
	if op.Err != nil {
		s.SetStatus(codes.Error, op.Err.Error())
	}
	s.End(trace.WithTimestamp(ended))
}
