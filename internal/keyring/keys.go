package keyring

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/objectkms/kms"
)

// CreateKey makes a key with one version of random material. An empty id asks for a random UUID.
func (r *Ring) CreateKey(ctx context.Context, req *kms.CreateKeyRequest) (*kms.CreateKeyResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	material := randomMaterial()
	defer clear(material)
	key, err := r.create(ctx, record{ID: req.KeyID, Description: req.Description, Tags: req.Tags, Origin: kms.OriginKMS}, material)
	if err != nil {
		return nil, err
	}
	return &kms.CreateKeyResponse{Key: key}, nil
}

// ImportKey makes a key whose first version is the owner's material. All-zero material is ErrInvalidRequest.
// Versions that rotation adds are made here.
func (r *Ring) ImportKey(ctx context.Context, req *kms.ImportKeyRequest) (*kms.ImportKeyResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	if allZero(req.Material.Bytes()) {
		return nil, fmt.Errorf("%w: key material is all zero", kms.ErrInvalidRequest)
	}
	rec := record{ID: req.KeyID, Description: req.Description, Tags: req.Tags, Origin: kms.OriginExternal}
	key, err := r.create(ctx, rec, req.Material.Bytes())
	if err != nil {
		return nil, err
	}
	return &kms.ImportKeyResponse{Key: key}, nil
}

// create completes the record and stores it, with the material as its first version.
func (r *Ring) create(ctx context.Context, rec record, material []byte) (kms.Key, error) {
	if rec.ID == "" {
		rec.ID = NewUUID()
	}
	if err := kms.ValidateKeyID(rec.ID); err != nil {
		return kms.Key{}, err
	}
	first, err := r.keys.newVersion(rec.ID, 1, material)
	if err != nil {
		return kms.Key{}, err
	}
	rec.Format, rec.Root, rec.State = recordFormat, r.rootVersion, kms.KeyEnabled
	rec.Created, rec.Versions = first.Created, []version{first}
	if err := r.insert(ctx, &rec); err != nil {
		return kms.Key{}, err
	}
	return rec.key(), nil
}

// DescribeKey describes a key in any state.
func (r *Ring) DescribeKey(ctx context.Context, req *kms.DescribeKeyRequest) (*kms.DescribeKeyResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	rec, err := r.load(ctx, req.KeyID)
	if err != nil {
		return nil, err
	}
	return &kms.DescribeKeyResponse{Key: rec.key()}, nil
}

// maxListed is how many ids a list asks the store for at once at most: those of the largest page, and one more.
const maxListed = 1001

// ListKeys answers one page of keys. Damaged records count against the limit as keys do.
func (r *Ring) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	if err := r.begin(ctx, req); err != nil {
		return nil, err
	}
	defer r.calls.Done()
	resp := &kms.ListKeysResponse{}
	// One id more than there is room for tells whether the list ends here. Where ids do not fill the page, ever more are asked for: a store may have
	// to read all of them for each answer.
	for marker, n := req.Marker, req.PageSize()+1; ; n = min(2*n, maxListed) {
		ids, err := r.list(ctx, marker, n)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if len(resp.Keys)+len(resp.Damaged) == req.PageSize() {
				resp.NextMarker, resp.Truncated = marker, true
				return resp, nil
			}
			if err := r.listKey(ctx, id, req.State, resp); err != nil {
				return nil, err
			}
			marker = id
		}
		if len(ids) < n {
			return resp, nil
		}
	}
}

// listKey adds one id to the page: as a key, as a damaged record, or not at all.
func (r *Ring) listKey(ctx context.Context, id string, state kms.KeyState, resp *kms.ListKeysResponse) error {
	rec, err := r.load(ctx, id)
	switch {
	case err == nil:
		if state == "" || state == rec.State {
			resp.Keys = append(resp.Keys, rec.key())
		}
	case isDamaged(err):
		resp.Damaged = append(resp.Damaged, id)
	case !errors.Is(err, kms.ErrKeyNotFound): // deleted since it was listed
		return err
	}
	return nil
}

// isDamaged reports whether an error is of one record, and says nothing about others.
func isDamaged(err error) bool {
	return errors.Is(err, kms.ErrKeyMaterial) || errors.Is(err, ErrUnreadable)
}

// now returns the time as records hold it: UTC, in whole seconds.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// NewUUID returns a random UUID, for a key that is given no id: version 4 of RFC 9562, section 5.4.
func NewUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// allZero reports whether key material is nothing but zero bytes, in constant time.
func allZero(material []byte) bool {
	var or byte
	for _, b := range material {
		or |= b
	}
	return or == 0
}
