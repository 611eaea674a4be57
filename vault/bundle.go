package vault

import (
	"context"
	"fmt"
	"io"

	"github.com/objectkms/kms"
)

var _ kms.KeyBundler = (*Backend)(nil)

// Export writes a bundle of keys, as [kms.KeyBundler] says. The keys of engine Transit never leave Vault: there it is ErrUnsupported.
func (b *Backend) Export(ctx context.Context, w io.Writer, opts kms.ExportOptions) (*kms.ExportReport, error) {
	bundler, err := b.bundler()
	if err != nil {
		return nil, err
	}
	return bundler.Export(ctx, w, opts)
}

// Import adds the keys of a bundle, as [kms.KeyBundler] says. Each key is stored as a whole or not at all, one after the other: an import
// that was cut off is repeated. Into engine Transit it is ErrUnsupported: single keys are brought there by ImportKey.
func (b *Backend) Import(ctx context.Context, r io.Reader, opts kms.ImportOptions) (*kms.ImportReport, error) {
	bundler, err := b.bundler()
	if err != nil {
		return nil, err
	}
	return bundler.Import(ctx, r, opts)
}

func (b *Backend) bundler() (kms.KeyBundler, error) {
	bundler, ok := b.engine.(kms.KeyBundler)
	if !ok {
		return nil, fmt.Errorf("%w: bundles of keys with engine Transit", kms.ErrUnsupported)
	}
	return bundler, nil
}
