package admin_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
)

// raw sends bytes to the server as they are, and reads one answer.
func (s *server) raw(t *testing.T, request string) answer {
	t.Helper()
	return s.rawAndThen(t, request, func(*net.TCPConn) error { return nil })
}

func (s *server) rawAndThen(t *testing.T, request string, then func(*net.TCPConn) error) answer {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	require.NoError(t, then(conn.(*net.TCPConn)))
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err, request[:min(len(request), 200)])
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	requireNoSecret(t, string(body))
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func request(method, path, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: s3.example\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
}

// requireUnchanged checks that hostile requests have done nothing.
func (s *server) requireUnchanged(t *testing.T) {
	t.Helper()
	status := s.keys.Status()
	require.Equal(t, kms.ServiceRunning, status.State)
	require.EqualValues(t, 1, status.Generation)
	list, err := s.keys.ListKeys(t.Context(), &kms.ListKeysRequest{})
	require.NoError(t, err)
	require.Len(t, list.Keys, 1)
	require.Equal(t, kms.KeyEnabled, list.Keys[0].State)
	require.EqualValues(t, 1, list.Keys[0].Version)
}

func TestHostilePaths(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	for path, want := range map[string]int{
		prefix + "/kms/status":                            200,
		prefix + "/kms/keys/k":                            200,
		prefix + "/kms/keys/%6B":                          200,
		prefix + "/kms/status?":                           200,
		prefix + "/kms/status#x":                          404,
		prefix + "/kms/status/":                           404,
		prefix + "/kms//status":                           404,
		prefix + "//kms/status":                           404,
		prefix + "/kms/./status":                          404,
		prefix + "/kms/x/../status":                       404,
		prefix + "/../v3/kms/status":                      404,
		prefix + "/kms/%2e%2e/kms/status":                 404,
		prefix + "/kms/x/%2E%2E/status":                   404,
		prefix + "/kms%2Fstatus":                          404,
		prefix + "/kms%5Cstatus":                          404,
		prefix + `/kms\status`:                            404,
		prefix + "/KMS/status":                            404,
		prefix + "/kms/Status":                            404,
		prefix + "/kms/status%00":                         404,
		prefix + "/kms/status%20":                         404,
		prefix + "/kms/status;x=1":                        404,
		prefix + "/kms/keys/":                             404,
		prefix + "/kms/keys/a/b":                          404,
		prefix + "/kms/keys/a%2Fb":                        400, // no such id
		prefix + "/kms/keys/..":                           404,
		prefix + "/kms/keys/%2e%2e":                       404,
		prefix + "/kms/keys/..%2Fk":                       404,
		prefix + "/kms/keys/%2e%2e%2fk":                   404,
		prefix + "/kms/keys/%252e%252e":                   400, // no such id
		prefix + "/kms/keys/%00":                          400,
		prefix + "/kms/keys/%ff":                          400,
		prefix + "/kms/keys/%E2%80%AE":                    400,
		prefix + "/kms/keys/K":                            404,
		prefix + "/kms/keys/{key_id}":                     400,
		prefix + "/kms/keys/" + strings.Repeat("x", 2049): 400,
		prefix + "/kms/openapi.json/x":                    404,
		prefix + "/":                                      404,
		prefix + "/kms":                                   404,
		prefix + "/kms/":                                  404,
		prefix + prefix + "/kms/status":                   404,
		"http://evil.example" + prefix + "/kms/status":    200, // the absolute form is a request like any other
		"/kms/status":                                     418,
		"/bucket" + prefix + "/kms/status":                418,
		prefix:                                            418,
		prefix + "x/kms/status":                           418,
		"/MINIO/admin/v3/kms/status":                      418,
		prefix + "/kms/%zz":                               400, // of net/http
		"kms/status":                                      400,
	} {
		t.Run(path[:min(len(path), 60)], func(t *testing.T) {
			a := s.raw(t, request("GET", path, ""))
			require.Equal(t, want, a.status, a.body)
			require.Empty(t, a.header.Get("Location"), "nobody is sent elsewhere")
			if a.header.Get("Content-Type") == "application/json" && want != 200 {
				a.code(t)
			}
		})
	}
	s.requireUnchanged(t)
}

func TestHostileMethods(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	for line, allow := range map[string]string{
		"GET /kms/start":             "POST",
		"HEAD /kms/start":            "POST",
		"PUT /kms/start":             "POST",
		"PATCH /kms/keys":            "GET, POST",
		"DELETE /kms/keys":           "GET, POST",
		"DELETE /kms/keys/k":         "GET",
		"POST /kms/keys/delete":      "GET, DELETE", // GET describes the key delete
		"PUT /kms/keys/rotate":       "GET, POST",
		"OPTIONS /kms/status":        "GET",
		"TRACE /kms/status":          "GET",
		"get /kms/status":            "GET",
		"POST /kms/status":           "GET",
		"PROPFIND /kms/status":       "GET",
		"POST /kms/openapi.json":     "GET",
		"GET /kms/reconfigure":       "POST",
		"DELETE /kms/clear-cache":    "POST",
		"GET /kms/generate-data-key": "POST",
	} {
		method, path, _ := strings.Cut(line, " ")
		a := s.raw(t, request(method, prefix+path, ""))
		require.Equal(t, http.StatusMethodNotAllowed, a.status, line)
		require.Equal(t, allow, a.header.Get("Allow"), line)
		if method != "HEAD" {
			code, _ := a.code(t)
			require.Equal(t, "MethodNotAllowed", code)
		}
		require.Equal(t, method, s.lastRecord(t).Method)
	}
	head := s.raw(t, request("HEAD", prefix+"/kms/status", ""))
	require.Equal(t, 200, head.status)
	require.Empty(t, head.body)
	require.Equal(t, 404, s.raw(t, "CONNECT "+prefix+"/kms/status HTTP/1.1\r\nHost: x\r\n\r\n").status)
	require.Equal(t, 405, s.raw(t, "POST "+prefix+"/kms/status HTTP/1.1\r\nHost: x\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0\r\n\r\n").status)
	s.requireUnchanged(t)
}

// None of these bodies is taken, by any route that has one.
func TestHostileBodies(t *testing.T) {
	bodies := []string{
		"x", "null", "[]", `"key"`, "7", "true", "{}{}", `{"key_id":"k"}x`, `{"key_id":"k"`, `{"key_id":k}`, `{'key_id':'k'}`, `{"key_id":"k",}`,
		`{"key_id":NaN}`, `{"key_id":1e999}`, `{"key_id":"\ud800"}`, `{"key_id":"k","key_id":"k"}`, `{"key_id":"k","key\u005fid":"k"}`, `{"KEY_ID":"k"}`,
		`{"key_id":{"$ne":null}}`, `{"key_id":["k"]}`, `{"__proto__":{"key_id":"k"}}`, `{"":"k"}`,
		"\xef\xbb\xbf{}", "{\x00}", "\xff\xfe{\x00}\x00", `{"key_id":"` + "\xff" + `"}`, "// comment\n{}", "key_id=k&force=true",
		strings.Repeat("[", 30000), strings.Repeat(`{"a":`, 10500) + "1" + strings.Repeat("}", 10500),
		`{"key_id":"k","x":` + strings.Repeat("9", 60000) + `}`,
		`{"key_id":"` + strings.Repeat("k", 60000) + `"}`,
		`<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><key_id>&e;</key_id>`,
	}
	s := running(t, admin.Options{Authorize: allow, PlaintextDataKeys: true})
	for _, route := range admin.Routes() {
		method, path, _ := strings.Cut(route, " ")
		if method == "GET" {
			continue
		}
		for _, body := range bodies {
			a := s.raw(t, request(method, prefix+path, body))
			require.Equal(t, http.StatusBadRequest, a.status, "%s %.80q: %s", route, body, a.body)
			require.Less(t, len(a.body), 1000+len(`{"key_id":"`)+2100, "an answer does not repeat the body")
		}
	}
	s.requireUnchanged(t)
}

func TestBodiesThatAreTooLarge(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	for path, most := range map[string]int{"/kms/keys/disable": 64 << 10, "/kms/start": 64 << 10, "/kms/reconfigure": 1 << 20, "/kms/rewrap": 8 << 20} {
		// By the length that is announced, before a byte is sent.
		a := s.raw(t, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", prefix+path, most+1))
		require.Equal(t, http.StatusRequestEntityTooLarge, a.status, path)
		code, _ := a.code(t)
		require.Equal(t, "RequestTooLarge", code)
		// By what comes, where no length is announced.
		a = s.raw(t, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", prefix+path, most+1, strings.Repeat(" ", most+1)))
		require.Equal(t, http.StatusRequestEntityTooLarge, a.status, path)
		// The largest one is read.
		a = s.raw(t, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", prefix+path, most, strings.Repeat(" ", most-1)+"x"))
		require.Equal(t, http.StatusBadRequest, a.status, path)
		_, message := a.code(t)
		require.Contains(t, message, fmt.Sprintf("as byte %d shows", most))
	}
	s.requireUnchanged(t)
}

func TestBodiesThatBreakOff(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	const path = prefix + "/kms/keys/disable"
	for name, request := range map[string]string{
		"shorter than announced":       "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"key_id\":\"k\"}",
		"a chunk that breaks off":      "POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"key_id\":\"k\"}",
		"no last chunk":                "POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{\"key_id\":\"k\"}\r\n",
		"a chunk without a size":       "POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n{\"key_id\":\"k\"}\r\n0\r\n\r\n",
		"two lengths":                  "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\nContent-Length: 2\r\n\r\n{\"key_id\":\"k\"}",
		"an announced end in the body": "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{\"key_id\":\"k\"}",
	} {
		require.Equal(t, http.StatusBadRequest, s.rawAndThen(t, request, (*net.TCPConn).CloseWrite).status, name)
	}
	s.requireUnchanged(t)
}

// Items that say nothing take three bytes each, and the memory of many, before anybody is asked whether the caller may do anything.
func TestAListOfVeryManyItems(t *testing.T) {
	s := running(t, admin.Options{Authorize: allow})
	items := func(n int) string { return `{"items":[` + strings.Repeat("{},", n-1) + `{}]}` }
	got := s.raw(t, request("POST", prefix+"/kms/rewrap", items(10_000)))
	require.Equal(t, http.StatusOK, got.status, "each item has an outcome of its own")
	got = s.raw(t, request("POST", prefix+"/kms/rewrap", items(10_001)))
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.body, "InvalidRequest")
	require.Contains(t, got.body, "items: got more values, want at most 10000")
	s.requireUnchanged(t)
}
