//go:build !(linux || darwin || freebsd || netbsd || openbsd)

package secret

// describeLimit says nothing where the limit cannot be asked for.
func describeLimit() string { return "" }
