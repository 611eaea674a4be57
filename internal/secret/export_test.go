package secret

// Memory returns the bytes of an arena, to be looked at until Close.
func Memory(a *Arena) []byte { return a.memory.bytes() }

// AllocateUntried asks memguard for memory as NewArena does, but without the trial before it.
func AllocateUntried(size int) error {
	_, err := allocate(size)
	return err
}
