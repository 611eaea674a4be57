package vault

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/objectkms/kms"
)

// A tokenFile is a file that holds a token, and what it looked like when a token of it was last accepted.
type tokenFile struct {
	path string

	mu   sync.Mutex
	seen os.FileInfo // nil: never
}

func (a TokenFileAuth) source() *source {
	f := &tokenFile{path: a.Path}
	return &source{login: f.login, changed: f.changed}
}

// login reads the token and asks Vault about it.
func (f *tokenFile) login(ctx context.Context, ask asker) (*grant, error) {
	// Looked at before it is read: what is written in between is another change.
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, fmt.Errorf("%w: file of the token: %w", kms.ErrPermission, err)
	}
	token, err := readCredential("token", f.path)
	if err != nil {
		return nil, err
	}
	if err := checkToken(token.Bytes()); err != nil {
		token.Destroy()
		return nil, fmt.Errorf("%w: file of the token: %w", kms.ErrPermission, err)
	}
	g, err := lookup(ctx, ask, token)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = info
	return g, nil
}

// changed reports whether the file is another one than when its token was accepted. A file that is gone or cannot be read is not: the token may live on.
func (f *tokenFile) changed() bool {
	info, err := os.Stat(f.path)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		return false
	}
	return f.seen == nil || !os.SameFile(info, f.seen) || info.Size() != f.seen.Size() || !info.ModTime().Equal(f.seen.ModTime())
}
