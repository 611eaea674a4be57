//go:build race

package cobblestone_test

// raceDetector reports whether the tests run under it.
const raceDetector = true
