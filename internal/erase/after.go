//go:build !goexperiment.runtimesecret

package erase

// After runs f, and then erases the registers and the part of the stack that f has used. What f has allocated is erased when nothing
// refers to it any more and the garbage collector sees that. Goroutines that f starts are not covered, nor is what f
// leaves in memory of others. A panic of f goes on to the caller.
//
// This program was not built so: After runs f, and that is all.
func After(f func()) { f() }
