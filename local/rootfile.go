package local

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/objectkms/kms/internal/cobblestone"
)

const (
	rootFormat = 1
	maxRoots   = 2 // two while a change of the root key runs
	checkSize  = cobblestone.HeaderSize + cobblestone.Overhead
)

// A rootEntry is one root of root.json: how its key comes from the secret of the operator, and the
// check value that tells whether it has.
type rootEntry struct {
	Version uint32 `json:"version"`
	KDF     string `json:"kdf"`
	Params  string `json:"params"`
	Salt    []byte `json:"salt"`
	Check   []byte `json:"check"`
}

type rootFile struct {
	Format int         `json:"format"`
	Roots  []rootEntry `json:"roots"`
}

// renderRoots returns root.json. Its form is written out here, and not left to an encoder, because there is only one
// form, for ever.
func renderRoots(roots []rootEntry) []byte {
	var b strings.Builder
	b.WriteString(`{"format":` + strconv.Itoa(rootFormat) + `,"roots":[`)
	for i, e := range roots {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"version":%d,"kdf":"%s","params":"%s","salt":"%s","check":"%s"}`, e.Version, e.KDF, e.Params,
			base64.StdEncoding.EncodeToString(e.Salt), base64.StdEncoding.EncodeToString(e.Check))
	}
	b.WriteString("]}\n")
	return []byte(b.String())
}

// parseRoots reads what renderRoots wrote, and refuses all other bytes.
func parseRoots(raw []byte) ([]rootEntry, error) {
	var f rootFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, errors.New("is malformed")
	}
	if f.Format != rootFormat {
		return nil, fmt.Errorf("has format %d, want %d", f.Format, rootFormat)
	}
	if len(f.Roots) == 0 || len(f.Roots) > maxRoots {
		return nil, fmt.Errorf("has %d roots, want 1 to %d", len(f.Roots), maxRoots)
	}
	var last uint32
	for _, e := range f.Roots {
		if err := e.validate(); err != nil {
			return nil, err
		}
		if e.Version <= last {
			return nil, fmt.Errorf("has root version %d after %d", e.Version, last)
		}
		last = e.Version
	}
	if !bytes.Equal(renderRoots(f.Roots), raw) {
		return nil, errors.New("is not in its one form")
	}
	return f.Roots, nil
}

// validate checks the sizes, and bounds the parameters before anything is computed with them.
func (e rootEntry) validate() error {
	if len(e.Check) != checkSize {
		return fmt.Errorf("has a check value of %d bytes, want %d", len(e.Check), checkSize)
	}
	return e.spec().Validate()
}
