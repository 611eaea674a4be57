package backendtest

import (
	"testing"

	"github.com/objectkms/kms"
)

// gone stands for the state of a key that is no more.
const gone kms.KeyState = "gone"

// A transition is what one method does with a key in each state: the error, or the next state.
type transition struct {
	method string
	call   func(t *testing.T, b kms.Backend, id string, blob []byte) error
	// from Enabled, Disabled and PendingDeletion
	enabled, disabled, pending result
}

type result struct {
	err  error
	next kms.KeyState
}

func fails(err error) result           { return result{err: err} }
func leadsTo(next kms.KeyState) result { return result{next: next} }

func (s *suite) states(t *testing.T) {
	b := s.open(t)
	for _, tr := range transitions(b) {
		s.transition(t, b, tr, kms.KeyEnabled, tr.enabled)
		s.transition(t, b, tr, kms.KeyDisabled, tr.disabled)
		s.transition(t, b, tr, kms.KeyPendingDeletion, tr.pending)
	}
}

func (s *suite) transition(t *testing.T, b kms.Backend, tr transition, state kms.KeyState, wanted result) {
	id := create(t, b, "").ID
	blob := encrypt(t, b, id, "text", nil)
	switch state {
	case kms.KeyDisabled:
		disable(t, b, id)
	case kms.KeyPendingDeletion:
		schedule(t, b, id)
	}
	before := describe(t, b, id)
	want(t, "a key comes into the state "+string(state), before.State, state)
	err := tr.call(t, b, id, blob)
	rule := tr.method + " of a key that is " + string(state)
	if wanted.err != nil {
		wantErr(t, rule+" is refused", err, wanted.err)
		wantSameKey(t, rule+" is refused and changes nothing", describe(t, b, id), before)
		return
	}
	if err != nil {
		t.Errorf("%s is allowed\n\tgot the error: %v", rule, err)
		return
	}
	if wanted.next == gone {
		_, err := b.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: id})
		wantErr(t, rule+" removes it", err, kms.ErrKeyNotFound)
		return
	}
	want(t, rule+" leads to the right state", describe(t, b, id).State, wanted.next)
	want(t, "a key has a deletion date exactly while it is pending deletion", !describe(t, b, id).DeletionDate.IsZero(), wanted.next == kms.KeyPendingDeletion)
}

func transitions(b kms.Backend) []transition {
	calls := make(map[string]operation)
	for _, op := range operations(b) {
		calls[op.name] = op
	}
	var found []transition
	for _, tr := range stateMatrix(b) {
		if op, ok := calls[tr.method]; ok && tr.call == nil {
			tr.call = func(t *testing.T, _ kms.Backend, id string, blob []byte) error { return op.call(t.Context(), id, blob) }
		}
		if tr.call != nil {
			found = append(found, tr)
		}
	}
	return found
}

// stateMatrix is the table of what each method does in each state.
func stateMatrix(b kms.Backend) []transition {
	enabled, disabled, pending := leadsTo(kms.KeyEnabled), leadsTo(kms.KeyDisabled), leadsTo(kms.KeyPendingDeletion)
	isDisabled, isPending := fails(kms.ErrKeyDisabled), fails(kms.ErrKeyPendingDeletion)
	matrix := []transition{
		{"DescribeKey", nil, enabled, disabled, pending},
		{"GenerateDataKey", nil, enabled, isDisabled, isPending},
		{"Encrypt", nil, enabled, isDisabled, isPending},
		{"Decrypt", nil, enabled, disabled, pending},
		{"EnableKey", nil, enabled, enabled, isPending},
		{"DisableKey", nil, disabled, disabled, isPending},
		{"RotateKey", nil, enabled, isDisabled, isPending},
		{"UpdateKeyDescription", nil, enabled, disabled, isPending},
		{"TagKey", nil, enabled, disabled, isPending},
		{"UntagKey", nil, enabled, disabled, isPending},
		{"DeleteKey", nil, pending, pending, isPending},
		{"CancelKeyDeletion", nil, fails(kms.ErrInvalidRequest), fails(kms.ErrInvalidRequest), disabled},
		{"CreateKey again", createAgain, fails(kms.ErrKeyExists), fails(kms.ErrKeyExists), fails(kms.ErrKeyExists)},
		{"DeleteKey with Immediate", deleteAtOnce, leadsTo(gone), leadsTo(gone), leadsTo(gone)},
	}
	if b, ok := b.(kms.DataKeyRewrapper); ok {
		matrix = append(matrix, transition{"RewrapDataKeys to another context", rewrapTo(b), enabled, isDisabled, isPending})
	}
	if b, ok := b.(kms.KeyImporter); ok {
		matrix = append(matrix, transition{"ImportKey again", importAgain(b), fails(kms.ErrKeyExists), fails(kms.ErrKeyExists), fails(kms.ErrKeyExists)})
	}
	return matrix
}

func createAgain(t *testing.T, b kms.Backend, id string, _ []byte) error {
	_, err := b.CreateKey(t.Context(), &kms.CreateKeyRequest{KeyID: id})
	return err
}

func deleteAtOnce(t *testing.T, b kms.Backend, id string, _ []byte) error {
	_, err := b.DeleteKey(t.Context(), &kms.DeleteKeyRequest{KeyID: id, Immediate: true, ConfirmKeyID: id})
	return err
}

func importAgain(b kms.KeyImporter) func(*testing.T, kms.Backend, string, []byte) error {
	return func(t *testing.T, _ kms.Backend, id string, _ []byte) error {
		_, err := b.ImportKey(t.Context(), &kms.ImportKeyRequest{KeyID: id, Material: material(1)})
		return err
	}
}

// rewrapTo returns the error of the one item, or of the call.
func rewrapTo(b kms.DataKeyRewrapper) func(*testing.T, kms.Backend, string, []byte) error {
	return func(t *testing.T, _ kms.Backend, id string, blob []byte) error {
		resp, err := b.RewrapDataKeys(t.Context(), &kms.RewrapDataKeysRequest{
			KeyID: id, Items: []kms.RewrapItem{{Ciphertext: blob, To: kms.EncryptionContext{"a": "b"}}},
		})
		if err != nil {
			return err
		}
		return resp.Items[0].Err
	}
}
