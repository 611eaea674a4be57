//go:build linux || darwin || freebsd || netbsd || openbsd

package secret

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// describeLimit says how much memory the process may lock.
func describeLimit() string {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return ""
	}
	return fmt.Sprintf(", the process may lock %d in all", limit.Cur)
}
