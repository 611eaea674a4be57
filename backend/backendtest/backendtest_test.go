package backendtest_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend/backendtest"
	"github.com/objectkms/kms/mock"
)

// brokenVariable makes a child process of this test run the suite over one broken backend.
const brokenVariable = "BACKENDTEST_BROKEN"

// harness runs the suite over mocks that wrap has changed.
func harness(wrap func(*mock.Backend) kms.Backend) backendtest.Harness {
	var inner sync.Map // of *mock.Backend, by the backend around it
	open := func(b *mock.Backend) kms.Backend {
		wrapped := wrap(b)
		inner.Store(wrapped, b)
		return wrapped
	}
	return backendtest.Harness{
		Open: func(*testing.T) kms.Backend { return open(mock.New()) },
		Reopen: func(t *testing.T, b kms.Backend) kms.Backend {
			b.Close()
			closed, _ := inner.Load(b)
			again, err := closed.(*mock.Backend).Open(t.Context())
			require.NoError(t, err)
			return open(again.(*mock.Backend))
		},
	}
}

func unchanged(b *mock.Backend) kms.Backend { return b }

func TestMockPasses(t *testing.T) {
	backendtest.Run(t, harness(unchanged))
}

// A plain backend has no method beyond those of kms.Backend.
type plain struct{ kms.Backend }

func TestABackendWithoutOptionalInterfacesPasses(t *testing.T) {
	backendtest.Run(t, harness(func(b *mock.Backend) kms.Backend { return plain{b} }))
}

func TestABackendThatCannotCreateKeysPasses(t *testing.T) {
	h := harness(unchanged)
	open := h.Open
	h.KeyID = "given"
	h.Open = func(t *testing.T) kms.Backend {
		b := open(t)
		_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: h.KeyID})
		require.NoError(t, err)
		return b
	}
	backendtest.Run(t, h)
}

// TestBrokenBackend runs the suite, and fails, in the children of the test below only.
func TestBrokenBackend(t *testing.T) {
	name := os.Getenv(brokenVariable)
	if name == "" {
		return
	}
	if name == "restart" {
		h := harness(unchanged)
		h.Reopen = func(_ *testing.T, b kms.Backend) kms.Backend {
			b.Close()
			return mock.New()
		}
		backendtest.Run(t, h)
		return
	}
	broken, ok := breakages()[name]
	require.True(t, ok)
	backendtest.Run(t, harness(broken.wrap))
}

func TestBrokenBackendsFailAndLearnTheRule(t *testing.T) {
	rules := map[string]string{"restart": "a restart loses no key and brings none back"}
	for name, broken := range breakages() {
		rules[name] = broken.rule
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBrokenBackend$")
			child.Env = append(os.Environ(), brokenVariable+"="+name)
			out, err := child.CombinedOutput()
			require.Error(t, err, "the suite passes a broken backend")
			require.NotContains(t, string(out), "panic:")
			require.True(t, strings.Contains(string(out), rule), "the rule is not named in:\n%s", out)
		})
	}
}
