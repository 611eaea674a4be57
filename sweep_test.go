package kms_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/mock"
)

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
				if op.Op == "RemoveExpiredKeys" {
					seen = append(seen, fmt.Sprintf("%q by %s", op.KeyID, kms.PrincipalOf(ctx)))
				}
			}
		})
		sink := &records{}
		cfg := kms.Config{Backend: s.backend, Options: kms.Options{Audit: kms.AuditOptions{Sink: sink}}}
		require.NoError(t, s.service.Reconfigure(t.Context(), cfg))
		s.schedule(t, "a")
		s.schedule(t, "b")
		pass(9 * day)
		want := []string{`"a" by kms:sweep`, `"b" by kms:sweep`, `"" by kms:sweep`}
		require.ElementsMatch(t, want, seen)
		var audited []string
		for _, record := range sink.all {
			if record.Op == "RemoveExpiredKeys" {
				audited = append(audited, fmt.Sprintf("%q by %s", record.KeyID, record.Principal))
			}
		}
		require.ElementsMatch(t, want, audited, "also where the configuration has a sink of its own")
	})
}

// swapDuringList is a backend that is replaced just after it has listed keys, once it is told by what.
type swapDuringList struct {
	*mock.Backend
	swap func()
}

func (b *swapDuringList) Open(context.Context) (kms.Backend, error) { return b, nil }

func (b *swapDuringList) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	if b.swap != nil {
		defer b.swap()
	}
	return b.Backend.ListKeys(ctx, req)
}

func TestKeysOfABackendThatTakesOverDuringASweepStay(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		require.NoError(t, s.service.Stop(t.Context()))
		s.service.Sweep.Interval = 0
		old, next := &swapDuringList{Backend: mock.New()}, mock.New()
		for _, keys := range []kms.KeyService{old, next} {
			createKey(t, keys, "a")
			_, err := keys.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: "a", PendingWindowDays: 7})
			require.NoError(t, err)
		}
		pass(8 * day)
		replace := func(with kms.BackendConfig) {
			require.NoError(t, s.service.Apply(t.Context(), kms.Change{Config: kms.Config{Backend: with}, Force: true}))
		}
		replace(old)
		s.referenced = func(context.Context, kms.Key) (kms.References, error) {
			old.swap = func() { replace(next) }
			return kms.References{Complete: true}, nil
		}
		report, err := s.service.SweepExpiredKeys(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(3), s.service.Status().Generation, "the other one runs")
		require.Zero(t, next.Calls("RemoveExpiredKeys"), "its keys were not looked at")
		require.Equal(t, []string{"a"}, report.Removed)
		require.Equal(t, 1, old.Calls("RemoveExpiredKeys"))
	})
}
