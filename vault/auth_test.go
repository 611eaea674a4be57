package vault

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// replaceFile puts a new file in the place of path, as an agent does.
func replaceFile(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	require.NoError(t, os.Rename(path+".new", path))
}

func TestWhatEachMethodSends(t *testing.T) {
	dir := t.TempDir()
	secretFile, jwtFile := filepath.Join(dir, "secret"), filepath.Join(dir, "jwt")
	write(t, secretFile, " "+bubbleSecret+"\r\n")
	write(t, jwtFile, bubbleSecret+"\n")
	secret := kms.NewSecret([]byte(bubbleSecret))
	tests := []struct {
		name string
		auth Auth
		path string
		body map[string]string
	}{
		{"AppRole", AppRoleAuth{RoleID: "r", SecretID: secret}, "auth/approle/login", map[string]string{"role_id": "r", "secret_id": bubbleSecret}},
		{"AppRole with a file", AppRoleAuth{Mount: "team/roles", RoleID: "r", SecretIDFile: secretFile}, "auth/team/roles/login", map[string]string{"role_id": "r", "secret_id": bubbleSecret}},
		{"Kubernetes", KubernetesAuth{Role: "r", JWTFile: jwtFile}, "auth/kubernetes/login", map[string]string{"role": "r", "jwt": bubbleSecret}},
		{"Kubernetes mounted elsewhere", KubernetesAuth{Mount: "k8s", Role: "r", JWTFile: jwtFile}, "auth/k8s/login", map[string]string{"role": "r", "jwt": bubbleSecret}},
		{"a certificate", CertAuth{Name: bubbleSecret}, "auth/cert/login", map[string]string{"name": bubbleSecret}},
		{"a certificate mounted elsewhere", CertAuth{Mount: "tls", Name: bubbleSecret}, "auth/tls/login", map[string]string{"name": bubbleSecret}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newBubbleVault()
				c := v.open(t, tt.auth)
				require.NoError(t, use(t, c))
				sent := v.requests("")
				require.Equal(t, []string{"POST " + tt.path, "GET " + lookupPath, "POST transit/datakey/plaintext/k"}, []string{
					sent[0].method + " " + sent[0].path, sent[1].method + " " + sent[1].path, sent[2].method + " " + sent[2].path,
				})
				require.Empty(t, sent[0].token, "a login shows no token")
				require.Equal(t, tt.body, decoded(t, sent[0].body))
				require.Equal(t, sent[1].token, sent[2].token)
				require.NotEmpty(t, sent[2].token)
			})
		})
	}
	require.Equal(t, bubbleSecret, string(secret.Bytes()), "the secret stays the caller's")
}

func TestACertificateThatNamesNoRole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		v.secret = "{}"
		v.open(t, CertAuth{})
		require.JSONEq(t, `{}`, v.requests("/login")[0].body)
	})
}

func TestFilesAreReadAgainAtEachLogin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for _, auth := range []Auth{AppRoleAuth{RoleID: "r", SecretIDFile: file}, KubernetesAuth{Role: "r", JWTFile: file}} {
		t.Run(auth.method(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newBubbleVault()
				v.fixed = true
				write(t, file, bubbleSecret)
				c := v.open(t, auth)
				v.set(func() { v.secret = "another-secret" })
				replaceFile(t, file, "another-secret")
				time.Sleep(31 * time.Minute)
				require.EqualValues(t, 2, c.stats().Logins)
				require.Zero(t, c.stats().LoginFailures)

				require.NoError(t, os.Remove(file))
				v.revoke()
				err := use(t, c)
				require.ErrorIs(t, err, kms.ErrPermission)
				require.ErrorIs(t, err, os.ErrNotExist)
			})
		})
	}
}

func TestFilesThatHoldNoSecret(t *testing.T) {
	dir := t.TempDir()
	empty, blank, large := filepath.Join(dir, "empty"), filepath.Join(dir, "blank"), filepath.Join(dir, "large")
	write(t, empty, "")
	write(t, blank, " \n\t")
	write(t, large, strings.Repeat("x", maxCredentialSize+1))
	for _, file := range []string{empty, blank, large, dir, filepath.Join(dir, "none")} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := newBubbleVault()
				for _, auth := range []Auth{AppRoleAuth{RoleID: "r", SecretIDFile: file}, KubernetesAuth{Role: "r", JWTFile: file}, TokenFileAuth{file}} {
					_, err := v.tryOpen(t, Config{Auth: auth})
					require.ErrorIs(t, err, kms.ErrPermission)
				}
				require.Empty(t, v.requests(""))
			})
		})
	}
	largest := filepath.Join(dir, "largest")
	write(t, largest, strings.Repeat("x", maxCredentialSize))
	secret, err := readCredential("secret", largest)
	require.NoError(t, err)
	require.Equal(t, maxCredentialSize, secret.Len())
}

func TestATokenFileThatIsReplacedIsPickedUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		write(t, file, v.give(time.Hour)+"\n")
		c := v.open(t, TokenFileAuth{file})
		second := v.give(time.Hour)
		replaceFile(t, file, second)
		time.Sleep(lookPause)
		require.NoError(t, use(t, c), "the first call after it still has the old one, or waits for nothing")
		synctest.Wait()
		require.NoError(t, use(t, c))
		calls := v.requests("plaintext/k")
		require.Equal(t, second, calls[len(calls)-1].token)
		require.Equal(t, 2, v.count("lookup-self"), "one question for each token")

		time.Sleep(lookPause)
		require.NoError(t, use(t, c))
		synctest.Wait()
		require.Equal(t, 2, v.count("lookup-self"), "a file that has not changed is not read")
	})
}

func TestATokenFileIsLookedAtOnceASecond(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		write(t, file, v.give(0))
		c := v.open(t, TokenFileAuth{file})
		looks := 0
		changed := c.session.source.changed
		c.session.source.changed = func() bool { looks++; return changed() }
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			require.NoError(t, use(t, c))
		}
		require.Equal(t, 10, looks)
	})
}

func TestATokenFileThatIsReplacedAfterItsTokenDied(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		write(t, file, v.give(time.Hour))
		c := v.open(t, TokenFileAuth{file})
		v.revoke()
		for range 45 { // refused at 31 s, and not to be asked again before 61 s
			require.ErrorIs(t, use(t, c), kms.ErrPermission)
			time.Sleep(time.Second)
		}
		replaceFile(t, file, v.give(time.Hour))
		time.Sleep(lookPause)
		require.NoError(t, use(t, c), "the pause after a refusal is over when there is another token")

		// Within the pause between two looks, a refusal makes it look.
		v.revoke()
		replaceFile(t, file, v.give(time.Hour))
		v.forget()
		require.NoError(t, use(t, c))
		require.Equal(t, 1, v.count("lookup-self"), "of the new token alone")
	})
}

func TestATokenFileThatHoldsNothingGood(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for _, bad := range []string{"", "not alive", "dead", strings.Repeat("x", maxTokenSize+1)} {
		synctest.Test(t, func(t *testing.T) {
			v := newBubbleVault()
			write(t, file, v.give(time.Hour))
			c := v.open(t, TokenFileAuth{file})
			replaceFile(t, file, bad)
			for range 600 {
				time.Sleep(time.Second)
				require.NoError(t, use(t, c), "the token that was there before it still lives")
			}
			require.LessOrEqual(t, v.count("lookup-self"), 600/30+6)
			require.NoError(t, os.Remove(file))
			time.Sleep(time.Second)
			require.NoError(t, use(t, c))
			replaceFile(t, file, v.give(2*time.Hour))
			time.Sleep(time.Second)
			require.NoError(t, use(t, c))
			time.Sleep(longestPause)
			v.forget()
			require.NoError(t, use(t, c))
			require.Equal(t, "hvs.token-number-2", v.requests("plaintext/k")[0].token)
		})
	}
}

func TestATokenOfWhichNoWholeSecondIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newBubbleVault()
		c := v.open(t, TokenAuth{kms.NewSecret([]byte(v.give(900 * time.Millisecond)))})
		require.False(t, c.stats().TokenExpires.IsZero(), "it does not live for ever")
	})
}

// A hostile or broken server may send back what it was sent.
func TestNoErrorAndNoLogHoldsASecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	const jwt = "eyJhbGciOiJub25lIn0.e30.c2lnbmF0dXJl"
	write(t, file, jwt)
	echo := func(status int) func(*http.Request, string) *http.Response {
		return func(req *http.Request, body string) *http.Response {
			text := req.Header.Get(tokenHeader) + " " + strings.ReplaceAll(body, `"`, ` `)
			return respond(status, `{"errors":["`+text+`","`+text+`"]}`)
		}
	}
	for _, status := range []int{400, 403, 404, 429, 500, 503} {
		synctest.Test(t, func(t *testing.T) {
			v := newBubbleVault()
			var log journal
			auths := []Auth{
				appRole(), AppRoleAuth{RoleID: "r", SecretIDFile: file}, KubernetesAuth{Role: "r", JWTFile: file},
				TokenAuth{kms.NewSecret([]byte("hvs.given-token"))}, TokenFileAuth{file},
			}
			var texts []string
			for _, auth := range auths {
				v.set(func() { v.intercept = echo(status) })
				_, err := v.tryOpen(t, Config{Auth: auth, Logger: log.logger()})
				require.Error(t, err)
				texts = append(texts, err.Error())
			}
			v.set(func() { v.intercept = nil })
			c, err := v.tryOpen(t, Config{Auth: appRole(), Logger: log.logger()})
			require.NoError(t, err)
			defer c.close()
			v.set(func() { v.intercept = echo(status) })
			time.Sleep(31 * time.Minute)
			require.Contains(t, log.String(), "could not be renewed")
			err = c.do(t.Context(), "POST", "transit/encrypt/k", map[string]any{"batch_input": []any{map[string]string{"plaintext": "cGxhaW50ZXh0IQ=="}}}, nil)
			require.Error(t, err)
			texts = append(texts, err.Error())
			all := strings.Join(texts, "\n") + log.String()
			for _, secret := range []string{bubbleSecret, jwt, "hvs.", "cGxhaW50"} {
				require.NotContains(t, all, secret)
			}
		})
	}
}
