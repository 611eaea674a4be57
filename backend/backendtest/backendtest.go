// Package backendtest is the conformance suite that any [kms.Backend] must pass.
//
// An author of a backend calls [Run] from a test of his own. Each failure begins with the rule that was broken. What a
// backend can do beyond [kms.Backend] is found by type assertion, and is tested where it is there.
package backendtest

import (
	"testing"

	"github.com/objectkms/kms"
)

// Harness is what the suite needs to know of a backend.
type Harness struct {
	// Open returns a backend that is fresh and has no keys but KeyID. The suite closes it, and
	// everything else that Open holds is released by t.Cleanup. It is called once for each
	// group of rules, and more often where rules need keys that nothing else has touched.
	Open func(t *testing.T) kms.Backend
	// Reopen closes b and opens a backend with the same keys, as a restart does. Nil: the tests of restarts are skipped.
	Reopen func(t *testing.T, b kms.Backend) kms.Backend
	// Damage changes the stored record of a key so that it cannot be trusted any more. Nil: the
	// tests of damaged records are skipped.
	Damage func(t *testing.T, b kms.Backend, keyID string)
	// MaxKeyID is the length in bytes of the longest key id that the backend takes. 0 means 128, as [kms.ValidateKeyID] has it. It
	// is for backends over a storage of others that takes no more.
	MaxKeyID int
	// KeyID is an Enabled key that every opened backend has, for backends whose CreateKey is ErrUnsupported.
	// Then only what needs no second key is run. Empty: the suite creates keys.
	KeyID string
}

// Run runs the whole suite, each group of rules as a subtest.
func Run(t *testing.T, h Harness) {
	if h.Open == nil {
		t.Fatal("Harness.Open is nil")
	}
	s := &suite{h}
	for _, group := range s.groups() {
		t.Run(group.name, func(t *testing.T) {
			switch {
			case group.creates && h.KeyID != "":
				t.Skip("needs CreateKey")
			case group.reopens && h.Reopen == nil:
				t.Skip("needs Harness.Reopen")
			case group.damages && h.Damage == nil:
				t.Skip("needs Harness.Damage")
			}
			group.run(t)
		})
	}
}

// A suite runs the rules over one harness.
type suite struct{ h Harness }

// A group is some rules that belong together, and what they need.
type group struct {
	name    string
	run     func(t *testing.T)
	creates bool
	reopens bool
	damages bool
}

func (s *suite) groups() []group {
	return []group{
		{name: "HealthCheck", run: s.healthCheck},
		{name: "DataKeys", run: s.dataKeys},
		{name: "SmallSecrets", run: s.smallSecrets},
		{name: "ContextBinding", run: s.contextBinding},
		{name: "ContextText", run: s.contextText},
		{name: "TamperedCiphertext", run: s.tampered},
		{name: "ForeignCiphertext", run: s.foreign},
		{name: "KeyIDOfDecrypt", run: s.keyIDOfDecrypt},
		{name: "AnswersAreFresh", run: s.answersAreFresh},
		{name: "RequestsStayTheCallers", run: s.requestsStay},
		{name: "NilRequests", run: s.nilRequests},
		{name: "MalformedRequests", run: s.malformedRequests},
		{name: "Cancellation", run: s.cancellation},
		{name: "Close", run: s.close},
		{name: "Rewrap", run: s.rewrap},
		{name: "ConcurrentDataKeys", run: s.concurrentDataKeys},

		{name: "CreateKey", run: s.createKey, creates: true},
		{name: "KeyIDs", run: s.keyIDs, creates: true},
		{name: "UnknownKey", run: s.unknownKey, creates: true},
		{name: "MalformedKeys", run: s.malformedKeys, creates: true},
		{name: "States", run: s.states, creates: true},
		{name: "ScheduledDeletion", run: s.scheduledDeletion, creates: true},
		{name: "ImmediateDeletion", run: s.immediateDeletion, creates: true},
		{name: "CancelKeyDeletion", run: s.cancelDeletion, creates: true},
		{name: "ExpiredKeys", run: s.expiredKeys, creates: true},
		{name: "Rotation", run: s.rotation, creates: true},
		{name: "Import", run: s.importKey, creates: true},
		{name: "Description", run: s.description, creates: true},
		{name: "Tags", run: s.tags, creates: true},
		{name: "Pages", run: s.pages, creates: true},
		{name: "PagesByState", run: s.pagesByState, creates: true},
		{name: "PagesWhileKeysChange", run: s.pagesWhileKeysChange, creates: true},
		{name: "RewrapToAnotherKey", run: s.rewrapToAnotherKey, creates: true},
		{name: "ConcurrentCreate", run: s.concurrentCreate, creates: true},
		{name: "ConcurrentChanges", run: s.concurrentChanges, creates: true},
		{name: "CancelAgainstRemoval", run: s.cancelAgainstRemoval, creates: true},
		{name: "Restart", run: s.restart, creates: true, reopens: true},
		{name: "RestartOfData", run: s.restartOfData, reopens: true},
		{name: "DamagedRecord", run: s.damagedRecord, creates: true, damages: true},
		{name: "DamagedRecordInPages", run: s.damagedRecordInPages, creates: true, damages: true},
	}
}
