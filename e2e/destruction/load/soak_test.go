// Package load_test puts the library under load: many goroutines on one key, changes in the midst of calls, and hours of
// everything at once.
package load_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clients is how many clients act at the same time.
const clients = 6

// A soak is a server under load for a time, and where the machine is slow for longer: until there are enough samples, and each operation that is wanted was done.
type soak struct {
	server  *server
	lasting time.Duration
	wanted  []string // operations
	leak    func()   // called with every sample, for tests of the tests
}

const (
	fewestSamples = 16
	patience      = 10 // times as long as it should last
)

// soakTime returns how long the long soak lasts: KMS_SOAK, else an hour with KMS_LONG=1.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("KMS_SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		require.NoError(t, err, "KMS_SOAK is a duration, such as 10m")
		return d
	}
	switch {
	case os.Getenv("KMS_LONG") == "1":
		return time.Hour
	case testing.Short():
		return 4 * time.Second
	}
	return 20 * time.Second
}

// run returns what the process took, from time to time, and the errors of clients and administrator.
func (k *soak) run(ctx context.Context) ([]sample, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, clients+1)
	var wg sync.WaitGroup
	until := func(act func() error) {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := act(); err != nil {
					errs <- err
					cancel()
					return
				}
			}
		})
	}
	// What has begun ends, whatever the time: a call that is cut off tells nothing.
	acting := context.WithoutCancel(ctx)
	for range clients {
		until(func() error { return k.server.act(acting) })
	}
	turn := 0
	pace := time.NewTicker(min(max(k.lasting/2000, 5*time.Millisecond), 200*time.Millisecond))
	defer pace.Stop()
	until(func() error {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return nil
		}
		turn++
		return k.server.administrate(acting, turn)
	})
	samples := k.watch(ctx)
	cancel()
	wg.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return samples, errors.Join(all...)
}

// watch takes samples until the time is over and there is enough of everything, or ctx ends.
func (k *soak) watch(ctx context.Context) (samples []sample) {
	const most = 15 * time.Second
	pause := min(k.lasting/40, most)
	lines := max(1, int(k.lasting/pause)/60)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	begin := time.Now()
	for over := time.Duration(0); over < k.lasting || over < patience*k.lasting && !k.isEnough(samples); over = time.Since(begin) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return samples
		}
		if k.leak != nil {
			k.leak()
		}
		samples = append(samples, k.server.sample())
		if len(samples)%lines == 0 {
			k.server.t.Log(samples[len(samples)-1])
		}
	}
	return samples
}

// isEnough reports whether a soak has seen what it is for.
func (k *soak) isEnough(samples []sample) bool {
	counts := k.server.counts()
	missing := func(name string) bool { return counts[name] == 0 }
	return len(samples) >= fewestSamples && !slices.ContainsFunc(k.wanted, missing)
}

// sample waits until nobody acts, and measures.
func (s *server) sample() sample {
	s.gate.Lock()
	defer s.gate.Unlock()
	for s.keys.Status().Draining > 0 { // is closed in the background
	}
	return takeSample(s.stored(), clients+6)
}

func TestALoadOfEverythingAtOnceTakesNoMoreAndMore(t *testing.T) {
	k := &soak{server: newServer(t), lasting: soakTime(t)}
	for _, a := range clientActions {
		k.wanted = append(k.wanted, a.name)
	}
	for _, a := range adminActions {
		k.wanted = append(k.wanted, a.name)
	}
	if !testing.Short() {
		k.wanted = append(k.wanted, "retire")
	}
	samples, err := k.run(t.Context())
	require.NoError(t, err)
	require.NoError(t, k.server.keys.Stop(t.Context()))
	counts := k.server.counts()
	t.Log("done:", counts)
	for _, name := range k.wanted {
		require.Positive(t, counts[name], name)
	}
	require.NoError(t, checkFlat(samples))
}

func TestALoadThatLeaksIsTold(t *testing.T) {
	var kept [][]byte
	var open []*os.File
	ended := make(chan struct{})
	t.Cleanup(func() {
		close(ended)
		for _, f := range open {
			f.Close()
		}
	})
	tests := []struct {
		name string
		leak func()
	}{
		{"heap", func() { kept = append(kept, make([]byte, 256<<10)) }},
		{"goroutines", func() { go func() { <-ended }() }},
		{"descriptors", func() {
			if f, err := os.Open(os.DevNull); err == nil {
				open = append(open, f)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &soak{server: newServer(t), lasting: 3 * time.Second, leak: tt.leak}
			samples, err := k.run(t.Context())
			require.NoError(t, err)
			require.NoError(t, k.server.keys.Stop(t.Context()))
			require.ErrorContains(t, checkFlat(samples), tt.name)
		})
	}
	require.NotEmpty(t, kept)
}
