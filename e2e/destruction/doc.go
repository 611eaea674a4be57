// Package destruction holds the tests that try to break the library: processes killed at any moment, power cuts,
// many writers at once, and long random histories. Each kind has a folder of its own.
package destruction
