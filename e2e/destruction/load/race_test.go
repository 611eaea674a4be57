//go:build race

package load_test

// With the race detector the resident memory is mostly its own: it remembers who used which address, and grows with the addresses.
const detectsRaces = true
