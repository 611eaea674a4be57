package erase_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms/internal/erase"
)

func TestAfterRunsTheFunctionOnce(t *testing.T) {
	n := 0
	erase.After(func() {
		erase.After(func() { n++ })
	})
	require.Equal(t, 1, n)
}

func TestAPanicGoesOn(t *testing.T) {
	require.PanicsWithValue(t, "bug", func() { erase.After(func() { panic("bug") }) })
	n := 0
	erase.After(func() { n++ })
	require.Equal(t, 1, n)
}
