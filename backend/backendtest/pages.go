package backendtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/objectkms/kms"
)

// A walk is what the pages of one list held together.
type walk struct {
	keys    []kms.Key
	damaged []string
}

func (w walk) ids() (ids []string) {
	for _, key := range w.keys {
		ids = append(ids, key.ID)
	}
	return ids
}

// listPages goes through all pages and checks what is true of each. between, if set, is called after every page but the last.
func listPages(t *testing.T, b kms.Backend, req *kms.ListKeysRequest, between func(page *kms.ListKeysResponse)) (w walk) {
	t.Helper()
	marker, last := req.Marker, req.Marker
	for range 10_000 {
		resp, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{Limit: req.Limit, State: req.State, Marker: marker})
		wantOK(t, "ListKeys answers a page", err)
		wantTrue(t, "a page has at most as many keys as its limit", len(resp.Keys) <= req.PageSize())
		want(t, "a page has a NextMarker exactly if it is Truncated", resp.NextMarker != "", resp.Truncated)
		for _, key := range resp.Keys {
			wantTrue(t, "keys are listed in the order of their ids' bytes, after the marker, each once", key.ID > last)
			last = key.ID
		}
		w.keys = append(w.keys, resp.Keys...)
		w.damaged = append(w.damaged, resp.Damaged...)
		if !resp.Truncated {
			return w
		}
		if resp.NextMarker <= marker {
			t.Fatal("NextMarker is greater than the Marker before")
		}
		wantTrue(t, "NextMarker skips nothing and repeats nothing: it is not less than the last key of the page", resp.NextMarker >= last)
		marker = resp.NextMarker
		if between != nil {
			between(resp)
		}
	}
	t.Fatal("a list comes to an end")
	return w
}

func listAll(t *testing.T, b kms.Backend, req *kms.ListKeysRequest) []kms.Key {
	t.Helper()
	return listPages(t, b, req, nil).keys
}

func wantIDs(t *testing.T, rule string, got, wanted []string) {
	t.Helper()
	want(t, rule, strings.Join(got, " "), strings.Join(wanted, " "))
}

func (s *suite) pages(t *testing.T) {
	b := s.open(t)
	empty, err := b.ListKeys(t.Context(), &kms.ListKeysRequest{})
	wantOK(t, "ListKeys of a backend without keys is an empty page", err)
	want(t, "ListKeys of a backend without keys is an empty page", len(empty.Keys)+len(empty.Damaged), 0)
	wantTrue(t, "an empty list has no further page", !empty.Truncated && empty.NextMarker == "")

	ids := []string{"0", "9.a", "B", "a", "a-b", "a.b", "a0", "aa", "a_b", "b", "z.z"}
	slices.Sort(ids)
	for _, i := range []int{5, 0, 10, 3, 8, 1, 9, 2, 7, 4, 6} {
		create(t, b, ids[i])
	}
	for _, limit := range []int{0, 1, 2, 3, 5, 10, 11, 12, 1000} {
		req := &kms.ListKeysRequest{Limit: limit}
		wantIDs(t, fmt.Sprintf("pages of %d hold every key once", limit), listPages(t, b, req, nil).ids(), ids)
		page, err := b.ListKeys(t.Context(), req)
		wantOK(t, "ListKeys answers a page", err)
		want(t, fmt.Sprintf("a page of %d without a filter is full while there are keys", limit), len(page.Keys), min(req.PageSize(), len(ids)))
		want(t, fmt.Sprintf("a page of %d is Truncated only if there may be more", limit), page.Truncated, req.PageSize() < len(ids))
	}
	for _, key := range listAll(t, b, &kms.ListKeysRequest{}) {
		wantSameKey(t, "ListKeys describes a key as DescribeKey does", key, describe(t, b, key.ID))
	}
	for _, marker := range []string{"0", "9", "A", "Z", "a", "a-", "a.b", "aaaa", "b", "y", "z.z", "zz", "~", "鍵"} {
		var after []string
		for _, id := range ids {
			if id > marker {
				after = append(after, id)
			}
		}
		wantIDs(t, "a list begins behind its marker, which need not be a key", listPages(t, b, &kms.ListKeysRequest{Marker: marker, Limit: 2}, nil).ids(), after)
	}
}

func (s *suite) pagesByState(t *testing.T) {
	b := s.open(t)
	byState := make(map[kms.KeyState][]string)
	for i := range 12 {
		id := fmt.Sprintf("k%02d", i)
		create(t, b, id)
		state := kms.KeyEnabled
		switch {
		case i%4 == 1 || i == 11:
			state = kms.KeyDisabled
			disable(t, b, id)
		case i == 6:
			state = kms.KeyPendingDeletion
			schedule(t, b, id)
		}
		byState[state] = append(byState[state], id)
	}
	for _, state := range []kms.KeyState{kms.KeyEnabled, kms.KeyDisabled, kms.KeyPendingDeletion, kms.KeyUnavailable} {
		for _, limit := range []int{0, 1, 2, 3, 4, 5, 100} {
			got := listPages(t, b, &kms.ListKeysRequest{Limit: limit, State: state}, nil)
			wantIDs(t, fmt.Sprintf("pages of %d hold every key that is %s once, and no other", limit, state), got.ids(), byState[state])
			for _, key := range got.keys {
				want(t, "a list by state has keys in this state only", key.State, state)
			}
		}
	}
}

func (s *suite) pagesWhileKeysChange(t *testing.T) {
	b := s.open(t)
	for i := range 10 {
		create(t, b, fmt.Sprintf("k%d", i))
	}
	got := listPages(t, b, &kms.ListKeysRequest{Limit: 2}, func(page *kms.ListKeysResponse) {
		deleteNow(t, b, page.Keys[len(page.Keys)-1].ID)
	})
	wantIDs(t, "deleting the key at the marker between two pages skips no other", got.ids(), []string{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8", "k9"})

	// k0, k2, k4, k6, k8 and k9 are left.
	changed := false
	got = listPages(t, b, &kms.ListKeysRequest{Limit: 2}, func(page *kms.ListKeysResponse) {
		if changed {
			return
		}
		changed = true
		create(t, b, "k1")
		create(t, b, "k5")
		deleteNow(t, b, "k4")
	})
	wantIDs(t, "a page holds what is there when it is asked for: keys made and deleted behind the marker", got.ids(), []string{"k0", "k2", "k5", "k6", "k8", "k9"})
}
