package encryption

import (
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
		return prefix, keyID, nil
	}
	keyID, err = o.ResolveKeyID(named)
	if err == nil && keyID == "" {
		// Without an id the default key would take the place of the one that the client wants.
		err = fmt.Errorf("%w: key id resolves to nothing", kms.ErrKeyNotFound)
	}
	return "", keyID, err
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
