package backendtest_test

import (
	"testing"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend/backendtest"
	"github.com/objectkms/kms/mock"
)

func TestMockPasses(t *testing.T) {
	backendtest.Run(t, backendtest.Harness{
		Open: func(*testing.T) kms.Backend { return mock.New() },
		Reopen: func(t *testing.T, b kms.Backend) kms.Backend {
			b.Close()
			again, err := b.(*mock.Backend).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return again
		},
	})
}
