// Package power holds the tests that cut the power of a machine which changes a key directory.
package power
