package main

import (
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBodyOfAStrangerIsNotRead(t *testing.T) {
	s := newServer(t)
	const size = 64 << 20
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.env["KMS_ADMIN_URL"]+"/kms/keys", strings.NewReader(strings.Repeat("x", size)))
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if response, err := s.http.Do(request); err == nil { // else the server has hung up
		require.Equal(t, http.StatusUnauthorized, response.StatusCode)
		require.NoError(t, response.Body.Close())
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/2))
}
