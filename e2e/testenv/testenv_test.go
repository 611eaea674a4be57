package testenv_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/e2e/testenv"
)

// holderVariable makes the test binary a child that starts a server and waits to be killed.
const holderVariable = "TESTENV_HOLD_A_SERVER"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLocal(t *testing.T) {
	keys, err := kms.Open(t.Context(), testenv.Local(t))
	require.NoError(t, err)
	defer keys.Close()
	_, err = keys.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: "k"})
	require.NoError(t, err)
}

// put and get use a KV engine.
func put(t *testing.T, m *testenv.Mounts) {
	t.Helper()
	m.Write(t, m.KV+"/data/x", map[string]any{"data": map[string]any{"a": "b"}})
}

func get(t *testing.T, m *testenv.Mounts) error {
	read, err := m.Client().Logical().ReadWithContext(t.Context(), m.KV+"/data/x")
	if err == nil && read == nil {
		return fmt.Errorf("nothing is there")
	}
	return err
}

func TestServer(t *testing.T) {
	tests := map[string]struct {
		opts     testenv.ServerOptions
		survives bool
	}{
		"in memory": {testenv.ServerOptions{}, false},
		"file":      {testenv.ServerOptions{Storage: testenv.File}, true},
		"TLS":       {testenv.ServerOptions{Storage: testenv.File, TLS: testenv.NewAuthority(t)}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := testenv.StartServer(t, tt.opts)
			m := s.Mounts(t)
			put(t, m)
			require.NoError(t, get(t, m))
			s.Seal(t)
			require.ErrorContains(t, get(t, m), "503")
			s.Unseal(t)
			require.NoError(t, get(t, m))
			s.Kill()
			require.ErrorContains(t, get(t, m), "refused")
			if !tt.survives {
				return
			}
			url := s.URL()
			s.Start(t)
			require.Equal(t, url, s.URL())
			require.ErrorContains(t, get(t, m), "503")
			s.Unseal(t)
			require.NoError(t, get(t, m))
		})
	}
}

func TestMountsAreFresh(t *testing.T) {
	m := testenv.NewMounts(t)
	put(t, m)
	other := testenv.NewMounts(t)
	require.Error(t, get(t, other))
	require.NoError(t, get(t, m))
}

func TestIdentities(t *testing.T) {
	m := testenv.NewMounts(t)
	put(t, m)
	client, err := m.Client().Clone()
	require.NoError(t, err)
	client.SetToken(m.NewToken(t, m.AllPolicy(t), time.Hour, time.Hour))
	_, err = client.Logical().ReadWithContext(t.Context(), m.KV+"/data/x")
	require.NoError(t, err)

	role := m.NewRole(t, m.Policy(t, `path "secret/nothing" { capabilities = ["read"] }`), time.Hour, time.Hour)
	login := func(secretID string) (string, error) {
		answer, err := m.Client().Logical().WriteWithContext(t.Context(), "auth/"+role.Mount+"/login", map[string]any{"role_id": role.ID, "secret_id": secretID})
		if err != nil {
			return "", err
		}
		return answer.Auth.ClientToken, nil
	}
	token, err := login(role.SecretID)
	require.NoError(t, err)
	client.SetToken(token)
	_, err = client.Auth().Token().LookupSelfWithContext(t.Context())
	require.NoError(t, err)
	_, err = client.Logical().ReadWithContext(t.Context(), m.KV+"/data/x")
	require.ErrorContains(t, err, "403")

	role.RevokeTokens(t)
	role.RevokeSecretIDs(t)
	_, err = client.Auth().Token().LookupSelfWithContext(t.Context())
	require.ErrorContains(t, err, "403")
	_, err = login(role.SecretID)
	require.Error(t, err)
}

func TestCluster(t *testing.T) {
	c := testenv.StartCluster(t)
	leader := c.Leader(t)
	others := c.Without(leader)
	m := others[0].Mounts(t)
	put(t, m)
	leader.Kill()
	next := c.Leader(t, others...)
	require.NotSame(t, leader, next)
	require.NoError(t, get(t, m.At(t, next.URL())))
	leader.Start(t)
	leader.UnsealStandby(t)
	require.NoError(t, get(t, m.At(t, leader.URL())))
}

// The child of the test below starts a server, says where it is, and waits.
func TestHoldAServer(t *testing.T) {
	if os.Getenv(holderVariable) == "" {
		t.Skip("runs in a child process only")
	}
	fmt.Println("url", testenv.StartServer(t, testenv.ServerOptions{}).URL())
	<-t.Context().Done()
}

func TestAServerEndsWithAProcessThatIsKilled(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHoldAServer$")
	cmd.Env = append(os.Environ(), holderVariable+"=yes", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var url string
	for lines := bufio.NewScanner(out); url == "" && lines.Scan(); {
		url, _ = strings.CutPrefix(lines.Text(), "url ")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answers := func() bool {
		resp, err := client.Get(url + "/v1/sys/health")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil
	}
	require.True(t, answers())
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return !answers() }, 30*time.Second, 10*time.Millisecond)
}
