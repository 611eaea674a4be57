//go:build !linux

package server

import "syscall"

const terminate = syscall.SIGTERM

func endsWithParent() *syscall.SysProcAttr { return nil }
