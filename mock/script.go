package mock

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A script is what a test has asked for, and what was called. It is safe for concurrent use.
type script struct {
	mu     sync.Mutex
	ops    map[string]*operation
	misuse error
}

type operation struct {
	calls  int
	delay  time.Duration
	faults []error
}

// known reports whether op is the name of a method that goes through the script.
func known(op string) bool {
	switch op {
	case "Open", "Close", "HealthCheck",
		"CreateKey", "DescribeKey", "ListKeys", "DeleteKey", "CancelKeyDeletion",
		"GenerateDataKey", "Encrypt", "Decrypt",
		"EnableKey", "DisableKey", "RotateKey", "ImportKey",
		"UpdateKeyDescription", "TagKey", "UntagKey",
		"RewrapDataKeys", "RemoveExpiredKeys":
		return true
	}
	return false
}

// get returns the operation of that name. For an unknown one it returns nil and remembers who asked.
func (s *script) get(op, by string) *operation {
	if !known(op) {
		if s.misuse == nil {
			s.misuse = fmt.Errorf("mock: %s(%q): a backend has no such method", by, op)
		}
		return nil
	}
	if s.ops == nil {
		s.ops = make(map[string]*operation)
	}
	if s.ops[op] == nil {
		s.ops[op] = new(operation)
	}
	return s.ops[op]
}

func (s *script) failNext(op string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.get(op, "FailNext"); o != nil {
		o.faults = append(o.faults, err)
	}
}

func (s *script) delay(op string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.get(op, "Delay"); o != nil {
		o.delay = d
	}
}

func (s *script) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.get(op, "Calls"); o != nil {
		return o.calls
	}
	return -1
}

// begin counts one call of op, waits its delay, and returns the error that it is to fail with.
func (s *script) begin(ctx context.Context, op string) error {
	delay, fault := s.next(op)
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fault
}

func (s *script) next(op string) (delay time.Duration, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.get(op, "begin")
	o.calls++
	if s.misuse != nil {
		return 0, s.misuse
	}
	if len(o.faults) > 0 {
		fault, o.faults = o.faults[0], o.faults[1:]
	}
	return o.delay, fault
}
