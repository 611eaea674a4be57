package model_test

import (
	"bytes"
	"slices"

	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
)

// restart stops the service and starts it again, or another one. While none runs there is no answer.
func (m *machine) restart(t *rapid.T) {
	check(t, "stop", m.service.Stop(ctx), nil)
	check(t, "a call to a service that was stopped", m.enc.HealthCheck(ctx), kms.ErrNotRunning)
	if rapid.Bool().Draw(t, "another process") {
		m.newService(t)
		return
	}
	check(t, "start", m.service.Start(ctx), nil)
}

// reconfigure lets another place take over. All that were used before stay as former ones.
func (m *machine) reconfigure(t *rapid.T) {
	m.places = rapid.Permutation(m.places).Draw(t, "places")
	check(t, "reconfigure", m.service.Reconfigure(ctx, m.config()), nil)
}

// orphan tries to leave a place out, which is refused, and changes nothing.
func (m *machine) orphan(t *rapid.T) {
	cfg := m.config()
	cfg.Backend, cfg.Former = cfg.Former[0], nil
	check(t, "reconfigure without the former", m.service.Reconfigure(ctx, cfg), kms.ErrInvalidConfig)
}

// directories are the places that are directories.
func (m *machine) directories() (all []*place) {
	for _, p := range m.places {
		if _, ok := p.config.(local.Config); ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *place) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	return all
}

func (m *machine) drawDirectory(t *rapid.T) *place {
	return rapid.SampledFrom(m.directories()).Draw(t, "directory")
}

// changeRoot gives a directory another root key. What has it open must open it anew.
func (m *machine) changeRoot(t *rapid.T) {
	p := m.drawDirectory(t)
	present := p.config.(local.Config)
	next := m.directory(p.name, present.RootKey.Bytes()[0]%200+1)
	check(t, "change the root key", local.ChangeRootKey(ctx, present, next), nil)
	_, err := present.Open(ctx)
	check(t, "open with the former root key", err, kms.ErrKeyMaterial)
	p.config = next
	m.openOther(t, p)
	check(t, "reconfigure", m.service.Reconfigure(ctx, m.config()), nil)
}

var bundleKey = bytes.Repeat([]byte{9}, 32)

func (m *machine) export(t *rapid.T) {
	p := m.drawDirectory(t)
	var bundle bytes.Buffer
	_, err := p.other.(kms.KeyBundler).Export(ctx, &bundle, kms.ExportOptions{Key: kms.NewSecret(bytes.Clone(bundleKey))})
	check(t, "export", err, nil)
	m.bundle, m.bundled = bundle.Bytes(), p.snapshot()
}

// importBundle brings the keys of the last bundle to a directory. Nothing that is there is lost by it.
func (m *machine) importBundle(t *rapid.T) {
	if m.bundle == nil {
		return
	}
	p := m.drawDirectory(t)
	bundler := p.other.(kms.KeyBundler)
	_, err := bundler.Import(ctx, bytes.NewReader(m.bundle), kms.ImportOptions{Key: kms.NewSecret(bytes.Repeat([]byte{8}, 32))})
	check(t, "import with another key", err, kms.ErrDecrypt)
	_, err = bundler.Import(ctx, bytes.NewReader(m.bundle), kms.ImportOptions{Key: kms.NewSecret(bytes.Clone(bundleKey))})
	for id, key := range m.bundled {
		if present := p.keys[id]; present != nil && !related(present, key) {
			check(t, "import", err, kms.ErrKeyExists)
			return
		}
	}
	check(t, "import", err, nil)
	for id, key := range m.bundled {
		m.merge(t, p, id, key.clone())
	}
	settle()
}

// related reports whether the versions of one are the first ones of the other.
func related(a, b *modelKey) bool {
	n := min(len(a.versions), len(b.versions))
	return slices.Equal(a.versions[:n], b.versions[:n])
}

// merge is what becomes of one key. Of a present one, which state is the later is the library's knowledge: it is that of one of the two.
func (m *machine) merge(t *rapid.T, p *place, id string, key *modelKey) {
	present := p.keys[id]
	if present == nil {
		p.keys[id] = key
		return
	}
	if len(key.versions) > len(present.versions) {
		present.versions = key.versions
	}
	got, err := p.other.DescribeKey(ctx, &kms.DescribeKeyRequest{KeyID: id})
	check(t, "describe", err, nil)
	switch {
	case got.Key.State == present.state && got.Key.DeletionDate.Equal(present.deletion):
	case got.Key.State == key.state && got.Key.DeletionDate.Equal(key.deletion):
		present.state, present.deletion = key.state, key.deletion
	default:
		t.Fatalf("an import has made %s %s, want %s or %s", id, got.Key.State, present.state, key.state)
	}
}
