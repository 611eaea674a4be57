//go:build !race

package cobblestone_test

const raceDetector = false
