package secret

// Memory returns the bytes of an arena, to be looked at until Close.
func Memory(a *Arena) []byte { return a.memory.bytes() }
