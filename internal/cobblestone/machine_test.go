package cobblestone_test

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/cobblestone"
)

// newMachine returns a machine with idle cores, on which no body is too slow for a crew.
func newMachine(cores int) *cobblestone.Machine { return cobblestone.NewMachine(cores).NeverSlow() }

func TestWorkersAreHiredForIdleCoresOnly(t *testing.T) {
	m := newMachine(4)
	m.AddBusy(1)
	require.Equal(t, 2, m.Hire(2))
	require.Equal(t, 1, m.Hire(2))
	require.Equal(t, 0, m.Hire(2))
	require.Equal(t, 4, m.Busy())
	m.AddBusy(2)
	require.Equal(t, 0, m.Hire(1))
	require.Equal(t, 6, m.Busy())
}

func TestHireIsSafeForConcurrentUse(t *testing.T) {
	m := newMachine(8)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 200 {
				got := m.Hire(3)
				if m.Busy() > 8 {
					t.Error("more workers than cores")
				}
				m.AddBusy(-got)
			}
		})
	}
	wg.Wait()
	require.Zero(t, m.Busy())
}

func TestABodyOnABusyMachineHasNoCrew(t *testing.T) {
	plain := randomBytes(3 * stretch)
	message := mustSeal(t, plain)
	for _, r := range append(readersOf(t, message, len(plain)), newEncryptReader(t, bytes.NewReader(plain))) {
		m := newMachine(4)
		m.AddBusy(4)
		r.On(m)
		var w collector
		_, err := r.WriteTo(&w)
		require.NoError(t, err)
		require.False(t, w.madeByCrew())
		require.Equal(t, 4, m.Busy())
	}
}

// TestACrewMakesRoom has other bodies begin while a crew works, and end.
func TestACrewMakesRoom(t *testing.T) {
	plain := randomBytes(20 * stretch)
	m := newMachine(2)
	r := newEncryptReader(t, bytes.NewReader(plain))
	r.On(m)
	var phases []string // how the output comes, without repetitions
	written, others := 0, 0
	_, err := r.WriteTo(writerFunc(func(p []byte) (int, error) {
		phase := "chunks"
		if len(p) > header+storedChunk {
			phase = "slabs"
		}
		if len(phases) == 0 || phases[len(phases)-1] != phase {
			phases = append(phases, phase)
		}
		written += len(p)
		for others == 0 && written > 4*stretch || others == 1 && written > 12*stretch {
			m.AddBusy(1 - 2*others)
			others++
		}
		return len(p), nil
	}))
	require.NoError(t, err)
	require.Equal(t, []string{"chunks", "slabs", "chunks", "slabs"}, phases[:4])
	require.Zero(t, m.Busy())
}

// sleeper sleeps before each call.
type sleeper struct {
	io.Reader
	io.Writer
	pause time.Duration
}

func (s sleeper) Read(p []byte) (int, error) {
	time.Sleep(s.pause)
	return s.Reader.Read(p)
}

func (s sleeper) Write(p []byte) (int, error) {
	time.Sleep(s.pause)
	return s.Writer.Write(p)
}

func TestASlowBodyHasNoCrewAndCountsForNothing(t *testing.T) {
	plain := randomBytes(4 * stretch)
	const slow = 300 * time.Microsecond // for a chunk
	for _, pause := range []time.Duration{0, slow} {
		for _, inWriter := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				m := cobblestone.NewMachine(4)
				var w collector
				source, sink := io.Reader(bytes.NewReader(plain)), io.Writer(&w)
				if inWriter {
					sink = sleeper{Writer: sink, pause: pause}
				} else {
					source = sleeper{Reader: source, pause: pause}
				}
				r := newEncryptReader(t, source)
				r.On(m)
				done := make(chan error)
				go func() {
					_, err := r.WriteTo(sink)
					done <- err
				}()
				time.Sleep(pause * (2*cobblestone.StretchChunks + 1))
				if pause > 0 {
					require.Zero(t, m.Busy())
				}
				require.NoError(t, <-done)
				require.Equal(t, pause == 0, w.madeByCrew())
			})
		}
	}
}

// TestACrewLastsAsLongAsItsBodyIsFast lets a body become slow, and fast again.
func TestACrewLastsAsLongAsItsBodyIsFast(t *testing.T) {
	const (
		fast = 10 * time.Millisecond // for a MiB
		slow = 100 * time.Millisecond
	)
	plain := randomBytes(24 * stretch)
	synctest.Test(t, func(t *testing.T) {
		m := cobblestone.NewMachine(4)
		r := newEncryptReader(t, bytes.NewReader(plain))
		r.On(m)
		written := 0
		var slabs [24]bool // whether a slab came within that MiB
		_, err := r.WriteTo(writerFunc(func(p []byte) (int, error) {
			at := min(written/stretch, 23)
			slabs[at] = slabs[at] || len(p) > header+storedChunk
			pace := fast
			if at >= 8 && at < 16 {
				pace = slow
			}
			time.Sleep(pace * time.Duration(len(p)) / stretch)
			written += len(p)
			return len(p), nil
		}))
		require.NoError(t, err)
		for _, at := range []int{2, 3, 4, 5, 6, 7, 20, 21, 22, 23} {
			require.True(t, slabs[at], "no crew after %d MiB", at)
		}
		for _, at := range []int{0, 14, 15} {
			require.False(t, slabs[at], "a crew after %d MiB", at)
		}
	})
}

// TestABlockedWriterHoldsUpACrew checks how much is read ahead of a writer that takes nothing, and that the crew waits for it.
func TestABlockedWriterHoldsUpACrew(t *testing.T) {
	plain := randomBytes(2*stretch + 2*cobblestone.MostInFlight*chunk)
	synctest.Test(t, func(t *testing.T) {
		source := bytes.NewReader(plain)
		r := newEncryptReader(t, source)
		m := newMachine(4)
		r.On(m)
		gate, done, blocked := make(chan struct{}), make(chan error), false
		go func() {
			_, err := r.WriteTo(writerFunc(func(p []byte) (int, error) {
				if len(p) > header+storedChunk && !blocked {
					blocked = true
					<-gate
				}
				return len(p), nil
			}))
			done <- err
		}()
		synctest.Wait()
		read := source.Size() - int64(source.Len())
		require.LessOrEqual(t, read, int64(stretch+cobblestone.MostInFlight*chunk))
		require.Equal(t, 4, m.Busy())
		close(gate)
		require.NoError(t, <-done)
		require.Zero(t, m.Busy())
	})
}

func TestBodiesThatShareAMachine(t *testing.T) {
	plain := randomBytes(4*stretch + 5)
	message := mustSeal(t, plain)
	m := newMachine(4)
	var wg sync.WaitGroup
	for range 6 {
		for _, r := range readersOf(t, message, len(plain)) {
			r.On(m)
			wg.Go(func() {
				var w collector
				if _, err := r.WriteTo(&w); err != nil || !bytes.Equal(plain, w.Bytes()) {
					t.Errorf("wrong bytes or error %v", err)
				}
			})
		}
	}
	wg.Wait()
	require.Zero(t, m.Busy())
}

func TestKeptBuffersAreWiped(t *testing.T) {
	plain := bytes.Repeat([]byte{0xee}, 3*stretch+99)
	message := mustSeal(t, plain)
	changed := bytes.Clone(message)
	changed[header+(2*cobblestone.StretchChunks+3)*storedChunk] ^= 1
	m, alone := newMachine(2), newMachine(1)
	readBack := func(r stream) {
		r.On(alone)
		r.WriteTo(io.Discard)
		require.Zero(t, bytes.Count(alone.KeptChunk(), []byte{0xee}))
	}
	for _, message := range [][]byte{message, changed} {
		for _, r := range readersOf(t, message, len(plain)) {
			readBack(r)
		}
	}
	use := func(r stream) {
		r.On(m)
		r.WriteTo(io.Discard)
		for range 2 * cobblestone.MostInFlight / cobblestone.SlabChunks {
			require.Zero(t, bytes.Count(m.KeptSlab(), []byte{0xee}))
		}
		require.Zero(t, bytes.Count(m.KeptChunk(), []byte{0xee}))
	}
	for _, message := range [][]byte{message, changed} {
		for _, r := range readersOf(t, message, len(plain)) {
			use(r)
		}
	}
	use(newEncryptReader(t, bytes.NewReader(plain)))
	use(newEncryptReader(t, failAfter(plain, 2*stretch+slab+5, errSource)))
	use(newEncryptReader(t, failAfter(plain, 5, errSource)))

	r := newDecryptReader(t, bytes.NewReader(message))
	r.On(m)
	_, err := r.WriteTo(&limitedWriter{left: 2 * stretch})
	require.Equal(t, io.ErrShortWrite, err)
	use(newDecryptReader(t, bytes.NewReader(message)))

	r = newDecryptReader(t, bytes.NewReader(mustSeal(t, plain[:1000])))
	r.On(m)
	_, err = io.ReadAll(r)
	require.NoError(t, err)
	require.Zero(t, bytes.Count(m.KeptChunk(), []byte{0xee}))
}

func TestABufferIsKeptOnceOnly(t *testing.T) {
	m := newMachine(2)
	message := mustSeal(t, randomBytes(100))
	r := newDecryptReader(t, bytes.NewReader(message))
	r.On(m)
	for range 3 {
		_, err := io.Copy(io.Discard, r)
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.NoError(t, err)
	}
	a, b := m.KeptChunk(), m.KeptChunk()
	require.NotSame(t, &a[0], &b[0])
}
