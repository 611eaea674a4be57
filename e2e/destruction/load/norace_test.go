//go:build !race

package load_test

const detectsRaces = false
