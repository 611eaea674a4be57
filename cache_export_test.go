package kms

// CachedDataKeys returns the memory of all data keys that the cache holds.
func (m *Manager) CachedDataKeys() (all [][]byte) {
	m.dataKeys.entries.DeleteFunc(func(_ dataKeyID, u unwrapped) bool {
		all = append(all, u.resp.Plaintext.Bytes())
		return false
	})
	return all
}
