package kms_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

const day = 24 * time.Hour

// A sweepSetting is a service that sweeps every hour, with a wall clock that can be set and a state that outlives it.
type sweepSetting struct {
	serviceSetting
	mu         sync.Mutex // guards what the workers see
	state      kms.SweepState
	ahead      time.Duration // of the wall clock
	saveErr    error
	loadErr    error
	referenced func(context.Context, kms.Key) (kms.References, error)
	observer   kms.Observer
}

// set changes what the workers see.
func (s *sweepSetting) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *sweepSetting) load(context.Context) (kms.SweepState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.loadErr
}

func (s *sweepSetting) save(_ context.Context, state kms.SweepState) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saveErr == nil {
		s.state = state
	}
	return s.saveErr
}

func (s *sweepSetting) highWater() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.HighWater
}

func (s *sweepSetting) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.ahead)
}

func (s *sweepSetting) askReferences(ctx context.Context, key kms.Key) (kms.References, error) {
	s.mu.Lock()
	referenced := s.referenced
	s.mu.Unlock()
	if referenced == nil {
		return kms.References{Complete: true}, nil
	}
	return referenced(ctx, key)
}

func (s *sweepSetting) observe(ctx context.Context, op kms.Operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.observer != nil {
		s.observer(ctx, op)
	}
}

// sweeping runs a test in a bubble with a service that sweeps.
func sweeping(t *testing.T, test func(t *testing.T, s *sweepSetting)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &sweepSetting{serviceSetting: serviceSetting{backend: mock.New()}}
		s.restartProcess(t)
		defer func() { require.NoError(t, s.service.Stop(context.Background())) }()
		test(t, s)
	})
}

// restartProcess starts another service over the same keys and state, as a new process does.
func (s *sweepSetting) restartProcess(t *testing.T) {
	t.Helper()
	if s.service != nil {
		require.NoError(t, s.service.Stop(t.Context()))
	}
	s.service = &kms.ServiceManager{
		Hooks: kms.Hooks{Observer: s.observe},
		Sweep: kms.SweepOptions{Interval: time.Hour, Jitter: -1, Load: s.load, Save: s.save, Referenced: s.askReferences},
	}
	s.service.SetWallClock(s.now)
	require.NoError(t, s.service.Reconfigure(t.Context(), kms.Config{Backend: s.backend}))
	synctest.Wait()
}

// schedule makes a key that may go in seven days.
func (s *sweepSetting) schedule(t *testing.T, id string) {
	t.Helper()
	createKey(t, s.service, id)
	s.delete(t, id)
}

func (s *sweepSetting) delete(t *testing.T, id string) {
	t.Helper()
	_, err := s.service.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, PendingWindowDays: 7})
	require.NoError(t, err)
}

func (s *sweepSetting) cancel(t *testing.T, id string) {
	t.Helper()
	_, err := s.service.CancelKeyDeletion(t.Context(), &kms.CancelKeyDeletionRequest{KeyID: id})
	require.NoError(t, err)
}

// pass lets time pass, and the sweeps that are due then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// keys returns the ids of all keys.
func (s *sweepSetting) keys(t *testing.T) []string {
	t.Helper()
	list, err := s.backend.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	var ids []string
	for _, key := range list.Keys {
		ids = append(ids, key.ID)
	}
	return ids
}

func (s *sweepSetting) status() kms.SweepStatus { return s.service.Status().Sweep }

func TestAKeyGoesADayAfterASweepHasSeenItPastItsDate(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		pass(7*day - time.Minute)
		require.Empty(t, s.status().Waiting, "not past its date")
		pass(time.Hour)
		require.Equal(t, []string{"a"}, s.status().Waiting)
		pass(day - time.Hour)
		require.Equal(t, []string{"a"}, s.keys(t), "seen for less than a day")
		pass(time.Hour)
		require.Empty(t, s.keys(t))
		require.NoError(t, s.status().Err)
	})
}

func TestAnExplicitSweepNeedsNoSecondSighting(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		pass(7*day - time.Minute)
		report, err := s.service.SweepExpiredKeys(t.Context())
		require.NoError(t, err)
		require.Empty(t, report.Removed, "not past its date")
		pass(2 * time.Minute)
		report, err = s.service.SweepExpiredKeys(t.Context())
		require.NoError(t, err)
		require.Equal(t, kms.SweepReport{At: time.Now(), Removed: []string{"a"}}, report)
		require.Empty(t, s.keys(t))
	})
}

func TestASweepNeedsAServiceThatRunsAndAState(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		require.NoError(t, s.service.Stop(t.Context()))
		_, err := s.service.SweepExpiredKeys(t.Context())
		require.ErrorIs(t, err, kms.ErrNotRunning)

		var other kms.ServiceManager
		_, err = other.SweepExpiredKeys(t.Context())
		require.ErrorIs(t, err, kms.ErrInvalidConfig)

		s.set(func() { s.loadErr = errDown })
		require.NoError(t, s.service.Start(t.Context()))
		_, err = s.service.SweepExpiredKeys(t.Context())
		require.ErrorIs(t, err, errDown)
	})
}

func TestNoKeyGoesWhenTheWallClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{6 * time.Minute, 40 * day, -6 * time.Minute, -40 * day} {
		t.Run(jump.String(), func(t *testing.T) {
			sweeping(t, func(t *testing.T, s *sweepSetting) {
				s.schedule(t, "a")
				pass(2 * time.Hour)
				high := s.highWater()
				s.set(func() { s.ahead = jump })
				pass(100 * day)
				require.Equal(t, []string{"a"}, s.keys(t))
				require.True(t, s.status().Halted)
				require.ErrorIs(t, s.status().Err, kms.ErrUnavailable)
				require.Equal(t, high, s.highWater(), "a clock that nobody trusts sets no mark")
				_, err := s.service.SweepExpiredKeys(t.Context())
				require.ErrorIs(t, err, kms.ErrUnavailable, "not by hand either")

				s.set(func() { s.ahead = 0 })
				pass(2 * day)
				require.Equal(t, []string{"a"}, s.keys(t), "a jump back does not make up for the first one")

				require.NoError(t, s.service.Stop(t.Context()))
				require.NoError(t, s.service.Start(t.Context()))
				synctest.Wait()
				require.False(t, s.status().Halted)
				pass(day - time.Hour)
				require.Equal(t, []string{"a"}, s.keys(t), "what was seen before counts no more")
				pass(2 * time.Hour)
				require.Empty(t, s.keys(t))
			})
		})
	}
}

func TestAClockThatIsCorrectedALittleIsTrusted(t *testing.T) {
	for _, jump := range []time.Duration{4 * time.Minute, -4 * time.Minute} {
		sweeping(t, func(t *testing.T, s *sweepSetting) {
			s.schedule(t, "a")
			pass(2 * time.Hour)
			s.set(func() { s.ahead = jump })
			pass(9 * day)
			require.Empty(t, s.keys(t))
			require.NoError(t, s.status().Err)
		})
	}
}

func TestSmallJumpsAddUp(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		for range 3 {
			s.set(func() { s.ahead += 2 * time.Minute })
			pass(time.Hour)
		}
		require.True(t, s.status().Halted)
	})
}

func TestNoKeyGoesWhileTheClockIsBehindWhatItHasShown(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		pass(10 * time.Hour)
		s.set(func() { s.state.HighWater = time.Now().Add(30 * day) })
		s.restartProcess(t)
		require.ErrorIs(t, s.status().Err, kms.ErrUnavailable)
		require.False(t, s.status().Halted, "it works again when the time has come")
		pass(29 * day)
		require.Equal(t, []string{"a"}, s.keys(t))
		_, err := s.service.SweepExpiredKeys(t.Context())
		require.ErrorContains(t, err, "behind")
		pass(3 * day)
		require.Empty(t, s.keys(t))
	})
}

func TestARestartForgetsWhatWasSeen(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		pass(7*day + time.Minute)
		for range 10 {
			pass(23 * time.Hour)
			require.Equal(t, []string{"a"}, s.status().Waiting)
			s.restartProcess(t)
		}
		require.Equal(t, []string{"a"}, s.keys(t))
		require.False(t, s.highWater().Before(time.Now().Add(-time.Hour)), "the mark is kept")
		pass(day + time.Hour)
		require.Empty(t, s.keys(t))
	})
}

func TestNothingGoesWithoutItsState(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		pass(7*day + 2*time.Hour)
		s.set(func() { s.saveErr = errDown })
		pass(3 * day)
		require.ErrorIs(t, s.status().Err, errDown)
		s.set(func() { s.saveErr, s.loadErr = nil, errDown })
		pass(3 * day)
		require.ErrorIs(t, s.status().Err, errDown)
		require.Equal(t, []string{"a"}, s.keys(t))
		s.set(func() { s.loadErr = nil })
		pass(2 * time.Hour)
		require.Empty(t, s.keys(t))
	})
}

func TestACancelledDeletionIsForgotten(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		pass(7*day + 23*time.Hour)
		require.Equal(t, []string{"a"}, s.status().Waiting)
		s.cancel(t, "a")
		pass(10 * day)
		require.Equal(t, []string{"a"}, s.keys(t))
		s.delete(t, "a")
		pass(7*day + 2*time.Hour)
		require.Equal(t, []string{"a"}, s.status().Waiting, "it begins anew")
		pass(day)
		require.Empty(t, s.keys(t))
	})
}

func TestAKeyScheduledAgainBetweenTwoSweepsBeginsAnew(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		pass(7*day + 90*time.Minute)
		require.Equal(t, []string{"a"}, s.status().Waiting)
		s.cancel(t, "a")
		s.delete(t, "a")
		pass(7 * day)
		pass(90 * time.Minute)
		require.Equal(t, []string{"a"}, s.keys(t))
		require.Equal(t, []string{"a"}, s.status().Waiting)
	})
}

// While references are looked for, somebody may cancel.
func TestACancellationBeatsASweepUnderWay(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		s.schedule(t, "b")
		asked := 0
		s.set(func() {
			s.referenced = func(_ context.Context, key kms.Key) (kms.References, error) {
				asked++
				if key.ID == "a" {
					s.cancel(t, "a")
				}
				if key.ID == "b" { // cancelled and scheduled again: a matter of its own
					s.cancel(t, "b")
					s.delete(t, "b")
				}
				return kms.References{Complete: true, Scanned: "1 bucket"}, nil
			}
		})
		pass(9 * day)
		require.Equal(t, 2, asked)
		require.Zero(t, s.backend.Calls("RemoveExpiredKeys"))
		require.Equal(t, []string{"a", "b"}, s.keys(t))
	})
}

func TestKeysThatAreReferencedStay(t *testing.T) {
	tests := []struct {
		name   string
		answer kms.References
		err    error
		reason string
	}{
		{"in use", kms.References{InUse: true, Complete: true, Scanned: "3 buckets"}, nil, "it is referenced"},
		{"a hook that fails", kms.References{Complete: true, Scanned: "3 buckets"}, errDown, "its references could not be looked for: down"},
		{"a hook that has looked at some", kms.References{Scanned: "2 of 3 buckets"}, nil, "not everything was scanned for references"},
		{"a hook that has looked at nothing", kms.References{}, nil, "not everything was scanned for references"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sweeping(t, func(t *testing.T, s *sweepSetting) {
				s.schedule(t, "first")
				time.Sleep(time.Second)
				s.schedule(t, "kept")
				s.schedule(t, "same-date")
				time.Sleep(time.Second)
				s.schedule(t, "later")
				s.set(func() {
					s.referenced = func(_ context.Context, key kms.Key) (kms.References, error) {
						if key.ID == "kept" {
							return tt.answer, tt.err
						}
						return kms.References{Complete: true, Scanned: "3 buckets"}, nil
					}
				})
				pass(9 * day)
				require.Equal(t, []string{"kept", "later", "same-date"}, sorted(s.keys(t)))
				kept := s.status().Kept
				require.Len(t, kept, 3)
				require.Equal(t, kms.KeptKey{KeyID: "kept", Reason: tt.reason, Scanned: tt.answer.Scanned}, kept[0])
				require.Contains(t, kept[1].Reason, `"kept"`)

				s.cancel(t, "kept")
				pass(2 * time.Hour)
				require.Equal(t, []string{"kept"}, s.keys(t), "a cancellation lets the others go")
			})
		})
	}
}

func sorted(ids []string) []string {
	slices.Sort(ids)
	return ids
}

func TestTheDefaultKeyStays(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		s.schedule(t, "default")
		require.NoError(t, s.service.Reconfigure(t.Context(), kms.Config{Backend: s.backend, Options: kms.Options{DefaultKeyID: "default"}}))
		pass(9 * day)
		require.ErrorIs(t, s.status().Err, kms.ErrKeyInUse)
		require.Equal(t, []string{"a", "default"}, s.keys(t))
		_, err := s.service.SweepExpiredKeys(t.Context())
		require.ErrorIs(t, err, kms.ErrKeyInUse)
		s.cancel(t, "default")
		pass(2 * time.Hour)
		require.Equal(t, []string{"default"}, s.keys(t))
	})
}

func TestSweepsGoOnThroughAReconfiguration(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		pass(7*day + 20*time.Hour)
		require.NoError(t, s.service.Restart(t.Context()))
		pass(6 * time.Hour)
		require.Empty(t, s.keys(t))
	})
}

func TestAStoppedServiceSweepsNothing(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		require.NoError(t, s.service.Stop(t.Context()))
		pass(20 * day)
		require.Equal(t, []string{"a"}, s.keys(t))
	})
}

func TestKeysGoWhateverTheirNames(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		for _, id := range []string{"z", "m", "a"} {
			s.schedule(t, id)
			time.Sleep(time.Second)
		}
		pass(8*day - time.Hour)
		report, err := s.service.SweepExpiredKeys(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"a", "m", "z"}, sorted(report.Removed))
	})
}

func TestTheMarkNeverFalls(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		high := time.Now().Add(4 * time.Minute).Round(0)
		s.set(func() { s.state.HighWater = high })
		_, err := s.service.SweepExpiredKeys(t.Context())
		require.NoError(t, err, "a little behind is nothing")
		require.Equal(t, high, s.highWater())
	})
}

func TestAClockThatJumpsDuringASweepEndsIt(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		s.set(func() {
			s.referenced = func(context.Context, kms.Key) (kms.References, error) {
				s.set(func() { s.ahead = day })
				return kms.References{Complete: true, Scanned: "3 buckets"}, nil
			}
		})
		pass(8*day + time.Minute)
		require.Equal(t, []string{"a"}, s.keys(t))
		require.True(t, s.status().Halted)
	})
}

func TestStopEndsASweep(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		s.schedule(t, "a")
		s.schedule(t, "b")
		asked := 0
		s.set(func() {
			s.referenced = func(ctx context.Context, _ kms.Key) (kms.References, error) {
				asked++
				<-ctx.Done()
				return kms.References{}, ctx.Err()
			}
		})
		pass(8*day + time.Minute)
		require.Equal(t, 1, asked)
		require.NoError(t, s.service.Stop(t.Context()))
		require.Equal(t, 1, asked, "nobody is asked after the end")
		require.NoError(t, s.status().Err, "an end is no failure")
		require.Equal(t, []string{"a", "b"}, s.keys(t))
	})
}

// Another key by the id, or another date, is another matter, also where both are past.
func TestAKeyThatIsAnotherBeginsAnew(t *testing.T) {
	for name, edit := range map[string]func(*kms.Key){
		"another date": func(k *kms.Key) { k.DeletionDate = k.DeletionDate.Add(-time.Hour) },
		"made again":   func(k *kms.Key) { k.CreatedAt = k.CreatedAt.Add(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			sweeping(t, func(t *testing.T, s *sweepSetting) {
				s.schedule(t, "a")
				edited := &editedList{Backend: s.backend}
				require.NoError(t, s.service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: edited}, Force: true}))
				pass(7*day + 90*time.Minute)
				require.Equal(t, []string{"a"}, s.status().Waiting)
				edited.edit.Store(&edit)
				pass(day)
				require.Equal(t, []string{"a"}, s.status().Waiting)
				require.Zero(t, s.backend.Calls("RemoveExpiredKeys"))
			})
		})
	}
}

// editedList is a backend that lists keys as they are not.
type editedList struct {
	*mock.Backend
	edit atomic.Pointer[func(*kms.Key)]
}

func (b *editedList) Open(context.Context) (kms.Backend, error) { return b, nil }

func (b *editedList) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	list, err := b.Backend.ListKeys(ctx, req)
	if edit := b.edit.Load(); err == nil && edit != nil {
		for i := range list.Keys {
			(*edit)(&list.Keys[i])
		}
	}
	return list, err
}

func TestManyPagesOfKeysAreSwept(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		const n = 1203
		for i := range n {
			s.schedule(t, fmt.Sprintf("k%04d", i))
		}
		require.NoError(t, s.service.Stop(t.Context()))
		pass(8 * day)
		require.NoError(t, s.service.Start(t.Context()))
		report, err := s.service.SweepExpiredKeys(t.Context())
		require.NoError(t, err)
		require.Len(t, report.Removed, n)
		require.Empty(t, s.keys(t))
	})
}

func TestEveryKeyThatASweepRemovesIsAudited(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		var seen []string
		s.set(func() {
			s.observer = func(ctx context.Context, op kms.Operation) {
				if strings.HasSuffix(op.Op, "ExpiredKeys") {
					seen = append(seen, fmt.Sprintf("%s %s by %s", op.Op, op.KeyID, kms.PrincipalOf(ctx)))
				}
			}
		})
		s.schedule(t, "a")
		s.schedule(t, "b")
		pass(9 * day)
		require.Equal(t, []string{"RemoveExpiredKeys  by kms:sweep", "SweepExpiredKeys a by kms:sweep", "SweepExpiredKeys b by kms:sweep"}, seen)
	})
}
