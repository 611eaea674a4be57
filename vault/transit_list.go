package vault

import (
	"context"
	"errors"
	"slices"

	"github.com/objectkms/kms"
)

// ListKeys answers one page of keys, those that others have made in Transit among them. Damaged records count against the limit as keys do.
func (t *transit) ListKeys(ctx context.Context, req *kms.ListKeysRequest) (*kms.ListKeysResponse, error) {
	if err := begin(ctx, req); err != nil {
		return nil, err
	}
	ids, err := t.ids(ctx)
	if err != nil {
		return nil, err
	}
	ids = ids[firstAfter(ids, req.Marker):]
	resp := &kms.ListKeysResponse{}
	for len(ids) > 0 {
		window := ids[:min(len(ids), max(req.PageSize()-pageLen(resp), listWorkers))]
		looks, err := t.lookAt(ctx, window)
		if err != nil {
			return nil, err
		}
		for i, look := range looks {
			if pageLen(resp) == req.PageSize() {
				resp.NextMarker, resp.Truncated = previous(window, i, resp.NextMarker), true
				return resp, nil
			}
			look.addTo(resp, window[i], req.State)
		}
		resp.NextMarker = window[len(window)-1]
		ids = ids[len(window):]
	}
	resp.NextMarker = ""
	return resp, nil
}

func pageLen(resp *kms.ListKeysResponse) int { return len(resp.Keys) + len(resp.Damaged) }

// previous returns the id before index i of a window, or the last one of the window before it.
func previous(window []string, i int, before string) string {
	if i == 0 {
		return before
	}
	return window[i-1]
}

// A look is what was seen at one id.
type look struct {
	view view
	err  error // ErrKeyMaterial or ErrKeyNotFound
}

// addTo adds what was seen to a page: as a key, as a damaged record, or not at all.
func (l look) addTo(resp *kms.ListKeysResponse, id string, state kms.KeyState) {
	switch {
	case errors.Is(l.err, kms.ErrKeyMaterial):
		resp.Damaged = append(resp.Damaged, id)
	case l.err == nil:
		if key := l.view.describe(); state == "" || state == key.State {
			resp.Keys = append(resp.Keys, key)
		}
	}
}

// lookAt looks at ids, a few at a time.
func (t *transit) lookAt(ctx context.Context, ids []string) ([]look, error) {
	looks := make([]look, len(ids))
	return looks, inParallel(len(ids), func(i int) error {
		v, err := t.look(ctx, ids[i])
		looks[i] = look{v, err}
		if errors.Is(err, kms.ErrKeyMaterial) || errors.Is(err, kms.ErrKeyNotFound) {
			return nil
		}
		return err
	})
}

// ids returns every id that a key may have: those of records, and the names of Transit keys, sorted.
func (t *transit) ids(ctx context.Context) ([]string, error) {
	ids, err := t.kv.ids(ctx)
	if err != nil {
		return nil, err
	}
	names, err := t.client.list(ctx, t.mount+"/keys")
	if err != nil {
		return nil, unlessNotFound(err)
	}
	ids = append(ids, slices.DeleteFunc(names, isNoID)...)
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
