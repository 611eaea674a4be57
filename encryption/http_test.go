package encryption_test

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// request asks an object that http.ServeContent serves for some ranges.
func request(t *testing.T, plain []byte, change func(stored []byte), ranges string) *http.Response {
	t.Helper()
	object, s := openPhoto(t, plain)
	change(s.stored)
	readerAt, err := object.NewReaderAt(bytes.NewReader(s.stored))
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/photos/cat.jpg", nil)
	if ranges != "" {
		r.Header.Set("Range", ranges)
	}
	w := httptest.NewRecorder()
	http.ServeContent(w, r, "cat.jpg", time.Time{}, io.NewSectionReader(readerAt, 0, object.Size()))
	return w.Result()
}

func unchanged([]byte) {}

func TestServeContent(t *testing.T) {
	plain := random(3*chunk + 100)
	tests := []struct {
		ranges     string
		status     int
		start, end int
	}{
		{"", http.StatusOK, 0, len(plain)},
		{"bytes=0-0", http.StatusPartialContent, 0, 1},
		{"bytes=16383-16384", http.StatusPartialContent, chunk - 1, chunk + 1},
		{"bytes=20000-", http.StatusPartialContent, 20000, len(plain)},
		{"bytes=-5", http.StatusPartialContent, len(plain) - 5, len(plain)},
		{"bytes=1-60000", http.StatusPartialContent, 1, len(plain)},
	}
	for _, tt := range tests {
		t.Run(tt.ranges, func(t *testing.T) {
			resp := request(t, plain, unchanged, tt.ranges)
			require.Equal(t, tt.status, resp.StatusCode)
			require.Equal(t, strconv.Itoa(tt.end-tt.start), resp.Header.Get("Content-Length"))
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plain[tt.start:tt.end], got))
		})
	}
	resp := request(t, plain, unchanged, "bytes=60000-")
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, resp.StatusCode)
}

func TestServeContentOfSeveralRanges(t *testing.T) {
	plain := random(3 * chunk)
	resp := request(t, plain, unchanged, "bytes=5-9,40000-40009,16380-16390")
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	require.NoError(t, err)
	parts := multipart.NewReader(resp.Body, params["boundary"])
	for _, want := range [][]byte{plain[5:10], plain[40000:40010], plain[16380:16391]} {
		part, err := parts.NextPart()
		require.NoError(t, err)
		got, err := io.ReadAll(part)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err = parts.NextPart()
	require.Equal(t, io.EOF, err)
}

func TestServeContentOfAChangedObjectEndsBeforeTheChange(t *testing.T) {
	plain := random(3 * chunk)
	resp := request(t, plain, func(stored []byte) { stored[56+2*(chunk+16)] ^= 1 }, "")
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Less(t, len(got), len(plain))
	require.True(t, bytes.HasPrefix(plain, got))
}
