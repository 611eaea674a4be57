// Package lookout looks at processes from outside, for tests: it builds the program victim, gives it secrets, and searches its memory and its
// core dumps for copies of them. It links nothing that changes the limits of the test's own process.
package lookout
