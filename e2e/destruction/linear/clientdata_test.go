//go:build linux

package linear_test

import (
	"context"
	"fmt"

	"github.com/objectkms/kms"
)

// keyOf reads the id of the key from a ciphertext of this library: it stands behind two bytes and its length.
func keyOf(ciphertext []byte) string { return string(ciphertext[3 : 3+int(ciphertext[2])]) }

func (c *client) encrypt(key string, call int64) error {
	resp, err := c.Encrypt(context.Background(), &kms.EncryptRequest{KeyID: key, Plaintext: []byte("of " + key)})
	e := event{Op: opEncrypt, Key: key, Call: call}
	if err == nil {
		e.Blob, e.Version = nameOf(resp.Ciphertext), resp.KeyVersion
	}
	if err := c.note(e, err); err != nil || e.Blob == "" {
		return err
	}
	return c.pool.add(resp.Ciphertext)
}

func (c *client) decrypt(call int64) error {
	ciphertext, err := c.pool.draw()
	if ciphertext == nil {
		return err
	}
	resp, err := c.Decrypt(context.Background(), &kms.DecryptRequest{Ciphertext: ciphertext})
	e := event{Op: opDecrypt, Key: keyOf(ciphertext), Blob: nameOf(ciphertext), Call: call}
	if err == nil {
		defer resp.Plaintext.Destroy()
		if got := string(resp.Plaintext.Bytes()); got != "of "+e.Key {
			return fmt.Errorf("a ciphertext of %s opens as %q", e.Key, got)
		}
		e.Version = resp.KeyVersion
	}
	return c.note(e, err)
}

// rewrap opens and wraps again, which are two moments.
func (c *client) rewrap(call int64) error {
	ciphertext, err := c.pool.draw()
	if ciphertext == nil {
		return err
	}
	resp, err := c.RewrapDataKeys(context.Background(), &kms.RewrapDataKeysRequest{Items: []kms.RewrapItem{{Ciphertext: ciphertext}}})
	if err != nil {
		return err
	}
	item := resp.Items[0]
	opened := event{Op: opDecrypt, Key: keyOf(ciphertext), Blob: nameOf(ciphertext), Call: call}
	name, err := outcome(item.Err)
	if name == "not found" || name == "decrypt" || err != nil {
		return c.note(opened, item.Err)
	}
	opened.Version = versionOf(ciphertext)
	if err := c.note(opened, nil); err != nil {
		return err
	}
	wrapped := event{Op: opEncrypt, Key: opened.Key, Call: call, answer: answer{Version: item.KeyVersion}}
	if item.Current {
		wrapped.Op = opCurrent
	}
	if item.Err == nil {
		wrapped.Blob = nameOf(item.Ciphertext)
	}
	if err := c.note(wrapped, item.Err); err != nil || item.Err != nil || item.Current {
		return err
	}
	return c.pool.add(item.Ciphertext)
}

// versionOf reads the version of the key from a ciphertext.
func versionOf(ciphertext []byte) uint32 {
	at := 3 + int(ciphertext[2])
	var v uint32
	for _, b := range ciphertext[at : at+4] {
		v = v<<8 | uint32(b)
	}
	return v
}
