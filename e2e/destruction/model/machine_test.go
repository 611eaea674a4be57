package model_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"pgregory.net/rapid"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/mock"
)

const (
	defaultKey = "d"
	ttl        = time.Minute
)

var ctx = context.Background()

// A machine is a service over three places of keys, the first of which is used and the others of which are former ones, and the objects of a server.
type machine struct {
	dir     string
	places  []*place // in the order of the configuration
	service *kms.ServiceManager
	objects map[string]*object
	enc     *encryption.Service
	sweeps  kms.SweepState
	serial  int
	bundle  []byte // exported last
	bundled map[string]*modelKey
}

// newMachine returns a machine whose directories are below dir.
func newMachine(t *rapid.T, dir string) *machine {
	m := &machine{dir: dir, objects: make(map[string]*object)}
	for _, name := range []string{"one", "two"} {
		m.places = append(m.places, &place{name: name, config: m.directory(name, 1), keys: make(map[string]*modelKey)})
	}
	m.places = append(m.places, &place{name: "memory", config: mock.New(), keys: make(map[string]*modelKey)})
	for _, p := range m.places {
		m.openOther(t, p)
	}
	m.newService(t)
	return m
}

// directory configures a key directory, with one of 200 root keys.
func (m *machine) directory(name string, root byte) local.Config {
	key := kms.NewSecret(bytes.Repeat([]byte{root}, 32))
	return local.Config{Dir: filepath.Join(m.dir, name), RootKey: key, AllowUnlockedMemory: true}
}

// openOther opens a place as another process does.
func (m *machine) openOther(t *rapid.T, p *place) {
	var err error
	if p.other != nil {
		check(t, "close", p.other.Close(), nil)
	}
	p.other, err = p.config.Open(ctx)
	check(t, "open "+p.name, err, nil)
}

func (m *machine) config() kms.Config {
	cfg := kms.Config{Backend: m.places[0].config}
	for _, former := range m.places[1:] {
		cfg.Former = append(cfg.Former, former.config)
	}
	cfg.DefaultKeyID = defaultKey
	cfg.AllowImmediateDeletion = true
	cfg.Cache.TTL = ttl
	return cfg
}

// newService starts a service as a new process does.
func (m *machine) newService(t *rapid.T) {
	m.prepareService()
	check(t, "start", m.service.Reconfigure(ctx, m.config()), nil)
}

func (m *machine) prepareService() {
	m.service = &kms.ServiceManager{Sweep: kms.SweepOptions{
		Load: func(context.Context) (kms.SweepState, error) { return m.sweeps, nil },
		Save: func(_ context.Context, state kms.SweepState) error { m.sweeps = state; return nil },
	}}
	m.enc = encryption.NewService(m.service, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: ttl}})
}

// close ends everything, and leaves nothing.
func (m *machine) close(t *rapid.T) {
	check(t, "stop", m.service.Stop(ctx), nil)
	m.enc.ClearBucketKeys()
	for _, p := range m.places {
		check(t, "close", p.other.Close(), nil)
	}
	check(t, "remove", os.RemoveAll(m.dir), nil)
}

// settle lets pass the time after which what others have done is seen.
func settle() { time.Sleep(ttl + time.Second) }

// compare compares the keys of all places with the model.
func (m *machine) compare(t *rapid.T) {
	for _, p := range m.places {
		list, err := p.other.ListKeys(ctx, &kms.ListKeysRequest{})
		check(t, "list", err, nil)
		if len(list.Damaged) > 0 || len(list.Keys) != len(p.keys) {
			t.Fatalf("%s has %d keys and damaged %v, want %d keys", p.name, len(list.Keys), list.Damaged, len(p.keys))
		}
		for _, got := range list.Keys {
			key := p.keys[got.ID]
			if key == nil {
				t.Fatalf("%s has a key %s", p.name, got.ID)
			}
			wanted := fmt.Sprint(key.state, key.origin, len(key.versions), key.deletion.UTC())
			if found := fmt.Sprint(got.State, got.Origin, got.Version, got.DeletionDate.UTC()); found != wanted {
				t.Fatalf("%s of %s: got %s, want %s", got.ID, p.name, found, wanted)
			}
		}
	}
}
