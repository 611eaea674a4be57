// Package figures measures what encryption costs the clients of an S3 server, on this machine and in one run. Nothing depends on a time.
//
//	go test -C e2e/clients -run '^$' -bench . ./figures
package figures

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/objectkms/kms/e2e/clients/s3client"
	"github.com/objectkms/kms/e2e/clients/server"
	"github.com/objectkms/kms/e2e/testenv"
)

const (
	bucket    = "figures"
	largeSize = 64 << 20
	rounds    = 7   // of large bodies, with and without encryption in turns
	requests  = 600 // of small ones
)

func TestMain(m *testing.M) { server.Main(m) }

// start starts a server and returns a client of it that does as little as it can: no checksums besides TLS.
func start(b *testing.B, more ...string) *s3client.AWS {
	b.Helper()
	s := server.Start(b, server.Options{More: more})
	at := s3client.Endpoint{URL: s.URL, AccessKey: s.Env["AWS_ACCESS_KEY_ID"], SecretKey: s.Env["AWS_SECRET_ACCESS_KEY"], Region: s.Env["AWS_DEFAULT_REGION"]}
	c := s3client.NewAWS(at, s.Transport(b), func(o *s3.Options) {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	})
	must(b, c.MakeBucket(b.Context(), bucket))
	return c
}

// startVault is start over a Vault of its own.
func startVault(b *testing.B, more ...string) *s3client.AWS {
	b.Helper()
	v := testenv.StartServer(b, testenv.ServerOptions{})
	v.DefaultMounts(b)
	token := filepath.Join(b.TempDir(), "token")
	must(b, os.WriteFile(token, []byte(v.RootToken()), 0o600))
	return start(b, append([]string{"-vault", v.URL(), "-vault-token-file", token}, more...)...)
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// timed returns how long something takes.
func timed(b *testing.B, do func(ctx context.Context) error) time.Duration {
	b.Helper()
	begin := time.Now()
	must(b, do(b.Context()))
	return time.Since(begin)
}

// quantile returns the time that this part of all did not take longer than.
func quantile(times []time.Duration, part float64) time.Duration {
	times = slices.Clone(times)
	slices.Sort(times)
	return times[int(part*float64(len(times)-1))]
}

// BenchmarkThroughput puts and gets a large body, with encryption and without.
func BenchmarkThroughput(b *testing.B) {
	on, off := start(b), start(b, "-encryption=off")
	body := make([]byte, largeSize)
	object := s3client.Object{Bucket: bucket, Key: "large"}
	put := func(c *s3client.AWS) time.Duration {
		return timed(b, func(ctx context.Context) error { return c.Put(ctx, object, body, s3client.Encryption{}) })
	}
	got := make([]byte, largeSize) // once, so that the client's memory is not what is measured
	get := func(c *s3client.AWS) time.Duration {
		return timed(b, func(ctx context.Context) error {
			out, err := c.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &object.Bucket, Key: &object.Key})
			if err != nil {
				return err
			}
			defer out.Body.Close()
			if _, err = io.ReadFull(out.Body, got); err == nil && !bytes.Equal(got, body) {
				err = errors.New("what was read is not what was put")
			}
			return err
		})
	}
	for b.Loop() {
		fmt.Printf("\n| %d MiB, median of %d | encrypted | not encrypted | encrypted/not |\n|---|---|---|---|\n", largeSize>>20, rounds)
		for _, op := range []struct {
			name string
			do   func(*s3client.AWS) time.Duration
		}{{"PUT", put}, {"GET", get}} {
			op.do(on) // the first time a connection is made
			op.do(off)
			var with, without []time.Duration
			for range rounds {
				with, without = append(with, op.do(on)), append(without, op.do(off))
			}
			a, z := mibPerSecond(quantile(with, 0.5)), mibPerSecond(quantile(without, 0.5))
			fmt.Printf("| %s | %.0f MiB/s | %.0f MiB/s | %.2f |\n", op.name, a, z, a/z)
			b.ReportMetric(a/z, op.name+"-ratio")
		}
	}
}

func mibPerSecond(d time.Duration) float64 { return float64(largeSize>>20) / d.Seconds() }

// place is where a server has its keys, with the times of requests to it.
type place struct {
	name     string
	c        *s3client.AWS
	put, get []time.Duration
}

// BenchmarkLatency puts and gets small bodies, one after the other, with the keys in different places.
func BenchmarkLatency(b *testing.B) {
	local := start(b)
	overVault := startVault(b)
	shared := startVault(b, "-bucket-keys")
	body := make([]byte, 1<<10)
	withKMS := s3client.Encryption{Mode: s3client.SSEKMS, BucketKey: true} // which is in force where the server has bucket keys
	for b.Loop() {
		places := []*place{{name: "local", c: local}, {name: "Vault", c: overVault}, {name: "Vault, bucket keys", c: shared}}
		for i := range requests {
			object := s3client.Object{Bucket: bucket, Key: fmt.Sprint("small-", i)}
			for _, p := range places {
				p.put = append(p.put, timed(b, func(ctx context.Context) error { return p.c.Put(ctx, object, body, withKMS) }))
				p.get = append(p.get, timed(b, func(ctx context.Context) error { _, err := p.c.Get(ctx, object, s3client.Encryption{}); return err }))
			}
		}
		fmt.Printf("\n| 1 KiB, SSE-KMS, %d requests | PUT p50 | p99 | GET p50 | p99 |\n|---|---|---|---|---|\n", requests)
		for _, p := range places {
			fmt.Printf("| %s |", p.name)
			for _, times := range [][]time.Duration{p.put, p.get} {
				fmt.Printf(" %.2f ms | %.2f ms |", milliseconds(quantile(times, 0.5)), milliseconds(quantile(times, 0.99)))
			}
			fmt.Println()
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
