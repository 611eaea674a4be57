package destruction_test

import (
	// The folders below use these modules; the imports keep them in go.mod whatever a folder leaves out.
	_ "github.com/anishathalye/porcupine"
	_ "github.com/cockroachdb/pebble/v2/vfs"
	_ "github.com/objectkms/kms/local"
	_ "github.com/stretchr/testify/require"
	_ "pgregory.net/rapid"
)
