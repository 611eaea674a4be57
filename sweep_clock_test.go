package kms_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

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

func TestAHaltShowsAlsoWhereNoWorkerSweeps(t *testing.T) {
	sweeping(t, func(t *testing.T, s *sweepSetting) {
		require.NoError(t, s.service.Stop(t.Context()))
		s.service.Sweep.Interval = 0
		require.NoError(t, s.service.Start(t.Context()))
		s.set(func() { s.ahead = time.Hour })
		_, err := s.service.SweepExpiredKeys(t.Context())
		require.ErrorIs(t, err, kms.ErrUnavailable)
		require.True(t, s.status().Halted)
		require.NoError(t, s.service.Stop(t.Context()))
		require.NoError(t, s.service.Start(t.Context()))
		require.False(t, s.status().Halted)
	})
}
