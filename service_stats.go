package kms

// StatsReporter is implemented by backends that count what they do.
type StatsReporter interface {
	// Stats returns the counts since the backend was opened.
	Stats() BackendStats
}

// BackendStats is how a backend's connection does.
type BackendStats struct {
	Breaker  BreakerState // empty where there is no breaker
	Trips    uint64       // how often the breaker has opened
	InFlight int          // requests under way now
}

// BreakerState is the state of a breaker, which keeps calls from a backend that fails.
type BreakerState string

// The states of a breaker: calls go through; none does; one goes through to try.
const (
	BreakerClosed   BreakerState = "Closed"
	BreakerOpen     BreakerState = "Open"
	BreakerHalfOpen BreakerState = "HalfOpen"
)

// BackendStats returns the counts of the backend; all zero where it is no [StatsReporter].
func (m *Manager) BackendStats() BackendStats {
	if reporter, ok := m.backend.(StatsReporter); ok {
		return reporter.Stats()
	}
	return BackendStats{}
}
