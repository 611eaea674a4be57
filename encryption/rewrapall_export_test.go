package encryption

// KeyVersion returns the version that the wrapped data key tells, or 0.
func (p Parts) KeyVersion() uint32 { return p.Envelope().keyVersion() }
