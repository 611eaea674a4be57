package cobblestone_test

import (
	"bytes"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms/internal/cobblestone"
)

// once panics at one call, after it has used the bytes, and goes on as if nothing had happened.
type once struct {
	io.Reader
	io.Writer
	calls int // that are left before it
}

func (o *once) Read(p []byte) (int, error) {
	n, err := o.Reader.Read(p[:min(len(p), 1000)])
	o.panic()
	return n, err
}

func (o *once) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	o.panic()
	return n, err
}

func (o *once) panic() {
	if o.calls--; o.calls == -1 {
		panic(errSource)
	}
}

// TestAPanicOfTheSourceEndsTheReader would otherwise find authentic messages in which the bytes are missing that were read before the panic.
func TestAPanicOfTheSourceEndsTheReader(t *testing.T) {
	plain := randomBytes(3 * chunk)
	message := mustSeal(t, plain)
	for _, calls := range []int{0, 1, 20} {
		broken := func(b []byte) io.Reader { return &once{Reader: bytes.NewReader(b), calls: calls} }
		for name, r := range map[string]stream{
			"encrypt": newEncryptReader(t, broken(plain)),
			"decrypt": newDecryptReader(t, io.MultiReader(bytes.NewReader(message[:header]), broken(message[header:]))),
			"range":   chunkReader(t, bytes.NewReader(message), broken(message[header:]), 0, int64(len(plain)), int64(len(plain))),
		} {
			t.Run(name, func(t *testing.T) {
				require.PanicsWithError(t, errSource.Error(), func() { io.ReadAll(r) })
				rest, err := io.ReadAll(r)
				require.Zero(t, len(rest))
				require.ErrorContains(t, err, "did not return")
				requireSticky(t, r, err)
			})
		}
	}
}

// TestAPanicOfTheWriterEndsTheReader would otherwise find a chunk that is written twice.
func TestAPanicOfTheWriterEndsTheReader(t *testing.T) {
	plain := randomBytes(3 * chunk)
	message := mustSeal(t, plain)
	for _, calls := range []int{0, 1, 3} {
		for _, r := range append(readersOf(t, message, len(plain)), newEncryptReader(t, bytes.NewReader(append(plain, 1)))) {
			w := &once{Writer: new(bytes.Buffer), calls: calls}
			if _, encrypts := r.(*cobblestone.EncryptReader); !encrypts && calls == 3 {
				continue // they have no fourth chunk to write
			}
			require.PanicsWithError(t, errSource.Error(), func() { r.WriteTo(w) })
			requireSticky(t, r, cobblestone.ErrNotWritten)
		}
	}
}

// TestAGoexitEndsACrew ends the caller's goroutine in its writer, as a test that fails does.
func TestAGoexitEndsACrew(t *testing.T) {
	m := newMachine(4)
	r := newEncryptReader(t, bytes.NewReader(randomBytes(4*stretch)))
	r.On(m)
	var caller sync.WaitGroup
	caller.Go(func() {
		r.WriteTo(writerFunc(func(p []byte) (int, error) {
			if len(p) > header+storedChunk {
				runtime.Goexit()
			}
			return len(p), nil
		}))
	})
	caller.Wait()
	require.Zero(t, m.Busy())
	require.NoError(t, goleak.Find())
	requireSticky(t, r, cobblestone.ErrNotWritten)
}

// TestSlabsAreWipedHoweverACrewEnds looks at the memory that the writer was shown last, and at what a source has filled before it panicked.
func TestSlabsAreWipedHoweverACrewEnds(t *testing.T) {
	plain := bytes.Repeat([]byte{0xee}, 4*stretch)
	message := mustSeal(t, plain)
	ends := map[string]func() (int, error){
		"error": func() (int, error) { return 0, errSource },
		"panic": func() (int, error) { panic(errSource) },
	}
	for name, end := range ends {
		t.Run("writer "+name, func(t *testing.T) {
			r := newDecryptReader(t, bytes.NewReader(message))
			r.On(newMachine(3))
			var shown []byte
			func() {
				defer func() { recover() }()
				r.WriteTo(writerFunc(func(p []byte) (int, error) {
					if len(p) <= header+storedChunk {
						return len(p), nil
					}
					shown = p
					return end()
				}))
			}()
			require.NotEmpty(t, shown)
			require.Zero(t, bytes.Count(shown, []byte{0xee}))
		})
		t.Run("source "+name, func(t *testing.T) {
			var shown []byte
			left := len(plain)
			r := newEncryptReader(t, readerFunc(func(p []byte) (int, error) {
				n := copy(p, plain[:left])
				if left -= n; left > stretch {
					return n, nil
				}
				shown = p
				return end()
			}))
			r.On(newMachine(3))
			func() {
				defer func() { recover() }()
				r.WriteTo(io.Discard)
			}()
			require.Greater(t, len(shown), chunk)
			require.Zero(t, bytes.Count(shown, []byte{0xee}))
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestAKeptChunkIsWipedAfterAPanic has a source fill the buffer and not say so.
func TestAKeptChunkIsWipedAfterAPanic(t *testing.T) {
	m := newMachine(1)
	var shown []byte
	r := newEncryptReader(t, readerFunc(func(p []byte) (int, error) {
		shown = p
		for i := range p {
			p[i] = 0xee
		}
		panic(errSource)
	}))
	r.On(m)
	require.Panics(t, func() { io.ReadAll(r) })
	_, err := io.ReadAll(r)
	require.Error(t, err)
	require.Zero(t, bytes.Count(shown, []byte{0xee}))
}
