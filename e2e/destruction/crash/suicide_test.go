//go:build unix

package crash_test

func dieAtACall() error { return nil }
