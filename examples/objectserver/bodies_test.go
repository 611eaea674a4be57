package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// send sends a request without a signature, and returns the status and the document of the answer, or nothing where the server hangs up on a long body.
func (s *server) send(t *testing.T, method, path, contentType string, body io.Reader, size int64) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.env["AWS_ENDPOINT_URL"]+path, body)
	require.NoError(t, err)
	request.ContentLength = size
	request.Header.Set("Content-Type", contentType)
	response, err := s.http.Do(request)
	if err != nil && size > 256<<10 {
		return 0, ""
	}
	require.NoError(t, err)
	defer response.Body.Close()
	document, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(document)
}

func TestFormsAreStreamed(t *testing.T) {
	s := newServer(t)
	body := random(40 << 20)
	t.Setenv("TMPDIR", filepath.Join(s.dir, "none")) // so that no file can be written in clear
	require.Equal(t, http.StatusNoContent, s.post(t, "big", body, map[string]string{"x-ignore-a": strings.Repeat("a", 10<<10)}).StatusCode)
	got, err := s.get(t, "big")
	require.NoError(t, err)
	require.True(t, bytes.Equal(body, got))
}

func TestFieldsOfFormsAreShort(t *testing.T) {
	s := newServer(t)
	const kind, begin, end = "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n", "\r\n--b--\r\n"
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	form := io.MultiReader(strings.NewReader(begin), io.LimitReader(zeros{}, size), strings.NewReader(end))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.env["AWS_ENDPOINT_URL"]+"/"+bucket, form)
	require.NoError(t, err)
	request.ContentLength = int64(len(begin) + size + len(end))
	request.Header.Set("Content-Type", kind)
	if response, err := s.http.Do(request); err == nil { // else the server has hung up
		require.Equal(t, http.StatusBadRequest, response.StatusCode)
		require.NoError(t, response.Body.Close())
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/2))

	long := begin + strings.Repeat("k", 70<<10) + end
	status, answer := s.send(t, http.MethodPost, "/"+bucket, kind, strings.NewReader(long), int64(len(long)))
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, answer, "<Code>MaxMessageLengthExceeded</Code>")
	short := begin + strings.Repeat("k", 60<<10) + end
	_, answer = s.send(t, http.MethodPost, "/"+bucket, kind, strings.NewReader(short), int64(len(short)))
	require.Contains(t, answer, "<Code>InvalidArgument</Code>", "there is no file")
}

func TestFieldsOfFormsComeSoon(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for 5 seconds, which -short does not")
	}
	s := newServer(t)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.env["AWS_ENDPOINT_URL"], "https://"), s.http.Transport.(*http.Transport).TLSClientConfig)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	const head = "POST /" + bucket + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n"
	_, err = io.WriteString(conn, head+"--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n"+strings.Repeat("k", 10<<10))
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, answer.StatusCode)
	require.True(t, answer.Close)
}

// zeros reads zeros without end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestBodiesThatAreReadAsAWholeAreShort(t *testing.T) {
	s := newServer(t)
	const document, list = 64 << 10, 8 << 20
	for _, c := range []struct {
		method, path string
		limit        int64
	}{
		{http.MethodGet, "/" + bucket + "/cat", document}, {http.MethodDelete, "/" + bucket + "/cat", document}, {http.MethodGet, "/" + bucket, document},
		{http.MethodPut, "/" + bucket + "/cat?tagging", document}, {http.MethodPut, "/" + bucket + "/cat?acl", document}, {http.MethodPut, "/" + bucket + "/cat?encryption", document},
		{http.MethodPut, "/" + bucket + "?policy", document}, {http.MethodPut, "/" + bucket, document}, {http.MethodPost, "/" + bucket + "/cat?uploads", document},
		{http.MethodPost, "/" + bucket + "/cat?uploadId=x", list}, {http.MethodPost, "/" + bucket + "?delete", list},
	} {
		status, answer := s.send(t, c.method, c.path, "", io.LimitReader(zeros{}, c.limit+1), c.limit+1)
		if status != 0 {
			require.Equal(t, http.StatusBadRequest, status, "%s %s", c.method, c.path)
			require.Contains(t, answer, "<Code>MaxMessageLengthExceeded</Code>", "%s %s", c.method, c.path)
		}
		status, answer = s.send(t, c.method, c.path, "", io.LimitReader(zeros{}, document), document)
		require.NotContains(t, answer, "<Code>MaxMessageLengthExceeded</Code>", "%s %s", c.method, c.path)
		require.Equal(t, http.StatusForbidden, status, "%s %s: %s", c.method, c.path, answer)
		status, _ = s.send(t, c.method, c.path, "", io.LimitReader(zeros{}, document), -1)
		require.Equal(t, http.StatusLengthRequired, status, "%s %s in chunks", c.method, c.path)
	}
	status, answer := s.send(t, http.MethodPut, "/"+bucket+"/cat", "", io.LimitReader(zeros{}, document+1), document+1)
	require.Equal(t, http.StatusForbidden, status, "an object may be longer: %s", answer)
}
