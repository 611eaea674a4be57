//go:build race

package clock_test

func init() { flags = append(flags, "-race") }
