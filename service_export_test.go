package kms

import "time"

// SetWallClock gives the sweeps of a ServiceManager a wall clock of their own.
func (s *ServiceManager) SetWallClock(wall func() time.Time) { s.sweeper.wall = wall }
