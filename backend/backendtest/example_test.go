package backendtest_test

import (
	"testing"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/backend/backendtest"
	"github.com/objectkms/kms/mock"
)

// The test of a backend's own package is a call of Run. Here mock stands for the backend.
func ExampleRun() {
	testConformance := func(t *testing.T) {
		backendtest.Run(t, backendtest.Harness{
			Open: func(*testing.T) kms.Backend { return mock.New() },
		})
	}
	_ = testConformance // is named TestConformance in a test file
}
