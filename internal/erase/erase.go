// Package erase runs code so that it leaves no copies of keys behind.
//
// Go moves stacks, saves registers and allocates as it sees fit, so that code which wipes what it has may leave copies that it
// cannot reach. A program that is built with GOEXPERIMENT=runtimesecret, for Linux on amd64 or arm64, has a
// runtime that erases them. Other programs do not.
package erase
