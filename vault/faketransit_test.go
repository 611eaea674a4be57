package vault_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A fakeKey is a key of the fake's Transit engine.
type fakeKey struct {
	Type       string `json:"type"`
	Derived    bool   `json:"derived"`
	Convergent bool   `json:"convergent_encryption"`
	Imported   bool   `json:"imported_key"`
	Deletable  bool   `json:"deletion_allowed"`
	Least      int    `json:"min_decryption_version"`
	versions   [][]byte
	times      []int64
}

func (k *fakeKey) add(material []byte) {
	k.versions, k.times = append(k.versions, material), append(k.times, time.Now().Unix())
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// A fakeItem is one thing to encrypt, decrypt or rewrap, and what became of it.
type fakeItem struct {
	Plaintext  []byte  `json:"plaintext"`
	Ciphertext string  `json:"ciphertext"`
	Context    []byte  `json:"context,omitempty"`
	Associated []byte  `json:"associated_data,omitempty"`
	Error      *string `json:"error,omitempty"`
}

// aead returns the cipher of one version, derived where the key is.
func (k *fakeKey) aead(version int, context []byte) cipher.AEAD {
	material := k.versions[version-1]
	if k.Derived {
		mac := hmac.New(sha256.New, material)
		mac.Write(context)
		material = mac.Sum(nil)
	}
	block, _ := aes.NewCipher(material)
	gcm, _ := cipher.NewGCM(block)
	return gcm
}

func (k *fakeKey) seal(item fakeItem) fakeItem {
	if k.Derived && len(item.Context) == 0 {
		return failed("missing 'context' for key derivation")
	}
	gcm := k.aead(len(k.versions), item.Context)
	nonce := randomBytes(gcm.NonceSize())
	text := base64.StdEncoding.EncodeToString(gcm.Seal(nonce, nonce, item.Plaintext, item.Associated))
	return fakeItem{Ciphertext: fmt.Sprintf("vault:v%d:%s", len(k.versions), text)}
}

func (k *fakeKey) unseal(item fakeItem) fakeItem {
	number, text, _ := strings.Cut(strings.TrimPrefix(item.Ciphertext, "vault:v"), ":")
	version, err := strconv.Atoi(number)
	raw, err2 := base64.StdEncoding.DecodeString(text)
	switch {
	case k.Derived && len(item.Context) == 0:
		return failed("missing 'context' for key derivation")
	case err != nil || err2 != nil:
		return failed("invalid ciphertext: could not decode base64")
	case version > len(k.versions):
		return failed("invalid ciphertext: version is too new")
	case version < max(k.Least, 1):
		return failed("ciphertext or signature version is disallowed by policy (too old)")
	case len(raw) < 12:
		return failed("invalid ciphertext length")
	}
	plaintext, err := k.aead(version, item.Context).Open(nil, raw[:12], raw[12:], item.Associated)
	if err != nil {
		return failed("cipher: message authentication failed")
	}
	return fakeItem{Plaintext: plaintext}
}

func failed(message string) fakeItem { return fakeItem{Error: &message} }

func (f *fakeVault) transit(method, rest string, body []byte) reply {
	parts := strings.Split(rest, "/")
	switch {
	case rest == "keys" && method == "LIST":
		return listed("", f.keys)
	case rest == "wrapping_key" && method == http.MethodGet:
		return reply{status: 200, data: map[string]any{"public_key": wrappingPEM()}}
	case parts[0] == "keys":
		return f.manage(method, parts[1:], body)
	}
	key := f.keys[parts[len(parts)-1]]
	if key == nil {
		return refuse(400, "encryption key not found")
	}
	var req struct {
		fakeItem
		Bits  int
		Batch []fakeItem `json:"batch_input"`
	}
	json.Unmarshal(body, &req)
	if parts[0] == "datakey" {
		plaintext := randomBytes(req.Bits / 8)
		made := key.seal(fakeItem{Plaintext: plaintext, Context: req.Context})
		if parts[1] == "plaintext" {
			made.Plaintext = plaintext
		}
		return single(made)
	}
	do := map[string]func(fakeItem) fakeItem{"encrypt": key.seal, "decrypt": key.unseal, "rewrap": func(item fakeItem) fakeItem {
		opened := key.unseal(item)
		if opened.Error != nil {
			return opened
		}
		return key.seal(fakeItem{Plaintext: opened.Plaintext, Context: item.Context})
	}}[parts[0]]
	if do == nil {
		return refuse(404, "unsupported path")
	}
	if req.Batch == nil {
		return single(do(req.fakeItem))
	}
	return batch(req.Batch, do, parts[0] == "decrypt")
}

func single(item fakeItem) reply {
	if item.Error != nil {
		return refuse(400, *item.Error)
	}
	return reply{status: 200, data: item}
}

func batch(items []fakeItem, do func(fakeItem) fakeItem, strict bool) reply {
	r := reply{status: 200}
	results := make([]fakeItem, len(items))
	for i, item := range items {
		results[i] = do(item)
		if strict && results[i].Error != nil {
			r.status = 400
		}
	}
	r.data = map[string]any{"batch_results": results}
	return r
}

// manage answers below keys/.
func (f *fakeVault) manage(method string, parts []string, body []byte) reply {
	name, action := parts[0], strings.Join(parts[1:], "/")
	key := f.keys[name]
	switch {
	case strings.TrimRight(name, ".-") != name:
		return refuse(404, "1 error occurred: * unsupported path")
	case strings.Contains(name, ".."):
		return refuse(500, "1 error occurred: * relative paths not supported")
	case method == http.MethodPost && action == "":
		if key == nil {
			key = &fakeKey{Type: "aes256-gcm96"}
			json.Unmarshal(body, key)
			key.add(randomBytes(32))
			f.keys[name] = key
		}
		return reply{status: 204}
	case method == http.MethodPost && action == "import":
		return f.importKey(name, body)
	case method == http.MethodGet && key == nil:
		return refuse(404)
	case method == http.MethodGet:
		return reply{status: 200, data: key.describe(name)}
	case method == http.MethodDelete && key == nil:
		return refuse(400, fmt.Sprintf("error deleting policy %s: could not delete key; not found", name))
	case method == http.MethodDelete && !key.Deletable:
		return refuse(400, fmt.Sprintf("error deleting policy %s: deletion is not allowed for this key", name))
	case method == http.MethodDelete:
		delete(f.keys, name)
	case action == "config" && key == nil:
		return refuse(400, fmt.Sprintf("no existing key named %s could be found", name))
	case action == "config":
		json.Unmarshal(body, key)
	case action == "rotate" && key == nil:
		return refuse(400, "key not found")
	case action == "rotate":
		key.add(randomBytes(32))
	}
	return reply{status: 204}
}

func (k *fakeKey) describe(name string) map[string]any {
	times := make(map[string]any)
	for i, at := range k.times {
		times[strconv.Itoa(i+1)] = at
		if k.Type == "rsa-2048" {
			times[strconv.Itoa(i+1)] = map[string]any{"creation_time": time.Unix(at, 0), "name": k.Type}
		}
	}
	return map[string]any{
		"name": name, "type": k.Type, "derived": k.Derived, "convergent_encryption": k.Convergent, "imported_key": k.Imported,
		"latest_version": len(k.versions), "min_decryption_version": max(k.Least, 1), "keys": times,
	}
}

var wrappingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		panic(err)
	}
	return key
})

func wrappingPEM() string {
	der, _ := x509.MarshalPKIXPublicKey(&wrappingKey().PublicKey)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (f *fakeVault) importKey(name string, body []byte) reply {
	if f.keys[name] != nil {
		return refuse(500, "the import path cannot be used with an existing key; use import-version to rotate an existing imported key")
	}
	key := &fakeKey{Imported: true}
	var req struct{ Ciphertext []byte }
	json.Unmarshal(body, key)
	json.Unmarshal(body, &req)
	split := wrappingKey().Size()
	kek, err := rsa.DecryptOAEP(sha256.New(), nil, wrappingKey(), req.Ciphertext[:split], nil)
	if err != nil {
		return refuse(500, err.Error())
	}
	material, ok := unwrapKey(kek, req.Ciphertext[split:])
	if !ok {
		return refuse(500, "key material is not wrapped")
	}
	key.add(material)
	f.keys[name] = key
	return reply{status: 204}
}

// unwrapKey is the reverse of AES Key Wrap with Padding for whole half-blocks: RFC 5649, section 4.2.
func unwrapKey(kek, wrapped []byte) ([]byte, bool) {
	block, err := aes.NewCipher(kek)
	if err != nil || len(wrapped)%8 != 0 || len(wrapped) < 24 {
		return nil, false
	}
	n := len(wrapped)/8 - 1
	b, out := make([]byte, 16), append([]byte(nil), wrapped...)
	copy(b, out[:8])
	for j := 5; j >= 0; j-- {
		for i := n; i >= 1; i-- {
			for shift := range 8 {
				b[7-shift] ^= byte((n*j + i) >> (8 * shift))
			}
			copy(b[8:], out[8*i:])
			block.Decrypt(b, b)
			copy(out[8*i:], b[8:])
		}
	}
	return out[8:], string(b[:4]) == "\xa6\x59\x59\xa6" && int(b[7]) == len(out)-8
}
