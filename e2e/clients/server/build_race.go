//go:build race

package server

// With tests that look for races, the server does so, too: it says what it has found when it is stopped, and its exit code is not 0.
var buildFlags = []string{"build", "-race"}
