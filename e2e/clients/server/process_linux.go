package server

import "syscall"

const terminate = syscall.SIGTERM

// endsWithParent lets a server end with the tests, also when those are killed.
func endsWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
