//go:build !race

package server

var buildFlags = []string{"build"}
