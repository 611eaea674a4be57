package encryption_test

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/encryption"
)

func benchmarkSizes(b *testing.B, run func(b *testing.B, svc *encryption.Service, plain []byte)) {
	svc := encryption.NewService(newMock(b), encryption.Options{})
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20, 64 << 20} {
		b.Run(strconv.Itoa(size>>10)+"KiB", func(b *testing.B) {
			plain := random(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			run(b, svc, plain)
		})
	}
}

func BenchmarkEncryptStream(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, svc *encryption.Service, plain []byte) {
		for b.Loop() {
			req := &encryption.Request{Mode: encryption.SSES3, KeyID: "default", PlainSize: int64(len(plain))}
			object, err := svc.EncryptStream(b.Context(), photo, req, bytes.NewReader(plain))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := object.WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
			object.Close()
		}
	})
}

func BenchmarkDecryptStream(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, svc *encryption.Service, plain []byte) {
		env, body := put(b, svc, photo, &encryption.Request{Mode: encryption.SSES3, KeyID: "default"}, plain)
		for b.Loop() {
			r, err := svc.DecryptStream(b.Context(), photo, env, nil, bytes.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := r.(io.WriterTo).WriteTo(io.Discard); err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
	})
}

func BenchmarkRangeOfOneByte(b *testing.B) {
	svc := encryption.NewService(newMock(b), encryption.Options{})
	env, body := put(b, svc, photo, &encryption.Request{Mode: encryption.SSES3, KeyID: "default"}, random(1<<20))
	fetch := func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(body[off : off+n])), nil
	}
	b.ReportAllocs()
	for b.Loop() {
		object, err := svc.OpenObject(b.Context(), photo, env, nil, int64(len(body)))
		if err != nil {
			b.Fatal(err)
		}
		r, err := object.Range(b.Context(), 1<<19, 1, fetch)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); n != 1 || err != nil {
			b.Fatal(n, err)
		}
		r.Close()
		object.Close()
	}
}

func BenchmarkEnvelopeText(b *testing.B) {
	svc := encryption.NewService(newMock(b), encryption.Options{})
	env, _ := put(b, svc, photo, &encryption.Request{Mode: encryption.SSES3, KeyID: "default"}, nil)
	b.ReportAllocs()
	for b.Loop() {
		_, err := encryption.ParseEnvelope(env.Map())
		require.NoError(b, err)
	}
}
