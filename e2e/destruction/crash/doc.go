// Package crash holds the tests that kill processes which change a key directory.
package crash
