package encryption

import (
	"errors"
	"fmt"
	"strings"

	"github.com/objectkms/kms"
)

// resolveKeyID returns the id by which the KeyService knows a key that a client names, and what stood before it. See Options.ResolveKeyID.
func (o *Options) resolveKeyID(named string) (prefix, keyID string, err error) {
	if named == "" {
		return "", "", nil
	}
	if o.ResolveKeyID == nil {
		prefix, keyID = cutKeyARN(named)
		return prefix, keyID, o.checkKeyARN(prefix, named, keyID)
	}
	keyID, err = o.ResolveKeyID(named)
	if err == nil && keyID == "" {
		// Without an id the default key would take the place of the one that the client wants.
		err = fmt.Errorf("%w: key id resolves to nothing", kms.ErrKeyNotFound)
	}
	return "", keyID, err
}

// checkKeyARN refuses the ARN of a key that is not the one that the server calls the key: it is of another region, account or partition.
func (o *Options) checkKeyARN(prefix, named, keyID string) error {
	if prefix == "" || o.KeyARN == nil {
		return nil
	}
	own := o.KeyARN(keyID)
	ownPrefix, _ := cutKeyARN(own)
	if ownPrefix == "" || own == named {
		return nil
	}
	if region := arnRegion(named); region != arnRegion(own) {
		return errInvalidARN(region)
	}
	return &namedKeyError{fmt.Errorf("%w: key ARN is not one of this server's", kms.ErrKeyNotFound), named}
}

// arnRegion returns the region in an ARN that cutKeyARN has split.
func arnRegion(arn string) string { return strings.SplitN(arn, ":", 5)[3] }

// A namedKeyError is an error about a key, with the name that the client knows the key by.
type namedKeyError struct {
	err  error
	name string
}

func (e *namedKeyError) Error() string { return e.err.Error() }
func (e *namedKeyError) Unwrap() error { return e.err }

// nameKey adds to an error of the KeyService about a key what clients call the key, where that is not its id.
func (o *Options) nameKey(prefix string, err error) error {
	e, ok := errors.AsType[*kms.Error](err)
	if !ok || kms.ValidateKeyID(e.KeyID) != nil {
		return err
	}
	if name := o.answerKeyID(prefix, e.KeyID); name != e.KeyID {
		return &namedKeyError{err, name}
	}
	return err
}

// answerKeyID returns the key id of the KeyService as a client is to see it. See Options.KeyARN.
func (o *Options) answerKeyID(prefix, keyID string) string {
	if o.KeyARN != nil {
		return o.KeyARN(keyID)
	}
	if whole, _ := cutKeyARN(keyID); whole != "" {
		return keyID
	}
	return prefix + keyID
}

// cutKeyARN splits the ARN of a key, arn:partition:kms:region:account:key/id, before its id. What is no such ARN is all id, and so is what has
// a byte that no header may have: the KeyService refuses it.
func cutKeyARN(named string) (prefix, keyID string) {
	hidden := func(r rune) bool { return r <= ' ' || r > '~' }
	if !strings.HasPrefix(named, "arn:") || strings.ContainsFunc(named, hidden) {
		return "", named
	}
	fields := strings.SplitN(named, ":", 6)
	if len(fields) != 6 || fields[2] != "kms" {
		return "", named
	}
	keyID, ok := strings.CutPrefix(fields[5], "key/")
	if !ok || keyID == "" {
		return "", named
	}
	return named[:len(named)-len(keyID)], keyID
}
