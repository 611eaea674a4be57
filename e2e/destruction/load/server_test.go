package load_test

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/local"
)

// A server is an object server: bodies in memory, and a service over a key directory on the disk. Its clients and its administrator act
// at the same time, and hold the gate for reading while they do.
type server struct {
	t    testing.TB
	keys kms.ServiceManager
	svc  *encryption.Service
	dir  string
	root *kms.Secret

	gate  sync.RWMutex // for writing: nothing goes on
	slots [48]slot
	names [3]keyName
	done  sync.Map // by operation: how often it was done
}

// A slot is a place for one object.
type slot struct {
	mu  sync.Mutex
	obj *object
}

// An object is as it was stored. It is replaced, and never changed.
type object struct {
	id       encryption.ObjectID
	env      *encryption.Envelope
	body     []byte
	plain    []byte // a part of content
	customer []byte // the client's key, or nil
}

// A keyName is a master key for objects. When it has many versions a successor takes its place.
type keyName struct {
	mu        sync.RWMutex // for reading, as long as something is written under the key
	number    int
	successor int
}

// content is what all objects are made of.
var content = func() []byte {
	b := make([]byte, 4<<20)
	rand.Read(b)
	return b
}()

func newServer(t testing.TB) *server {
	t.Helper()
	root := make([]byte, 32)
	rand.Read(root)
	s := &server{t: t, dir: filepath.Join(t.TempDir(), "keys"), root: kms.NewSecret(root)}
	var state kms.SweepState
	var mu sync.Mutex
	s.keys.Sweep = kms.SweepOptions{
		Load: func(context.Context) (kms.SweepState, error) {
			mu.Lock()
			defer mu.Unlock()
			return state, nil
		},
		Save: func(_ context.Context, next kms.SweepState) error {
			mu.Lock()
			defer mu.Unlock()
			state = next
			return nil
		},
	}
	require.NoError(t, s.keys.Configure(s.config(5*time.Second)))
	require.NoError(t, s.keys.Start(t.Context()))
	s.svc = encryption.NewService(&s.keys, encryption.Options{
		CreateDefaultKey: true,
		BucketKeys:       encryption.BucketKeyOptions{TTL: 5 * time.Second, MaxObjects: 50, MaxKeys: 20},
	})
	for i := range s.names {
		s.names[i].number = i
		s.create(s.names[i].id())
	}
	for i := range s.slots {
		require.NoError(t, s.put(t.Context(), mathrand.N(len(s.names)), i))
	}
	return s
}

// config returns the configuration with caches that are full and expire within seconds, so that a short run sees both.
func (s *server) config(ttl time.Duration) kms.Config {
	return kms.Config{
		Backend: local.Config{Dir: s.dir, RootKey: s.root, AllowUnlockedMemory: true},
		Options: kms.Options{
			DefaultKeyID:           "default",
			AllowImmediateDeletion: true,
			Cache:                  kms.CacheOptions{MaxKeys: 40, TTL: ttl},
		},
	}
}

func (s *server) create(id string) {
	s.t.Helper()
	_, err := s.keys.CreateKey(context.Background(), &kms.CreateKeyRequest{KeyID: id})
	require.NoError(s.t, err)
}

func (n *keyName) id() string { return fmt.Sprintf("objects-%d-%d", n.number, n.successor) }

// load returns the object in a slot.
func (s *server) load(i int) *object {
	s.slots[i].mu.Lock()
	defer s.slots[i].mu.Unlock()
	return s.slots[i].obj
}

// store puts an object into a slot.
func (s *server) store(i int, obj *object) {
	s.slots[i].mu.Lock()
	defer s.slots[i].mu.Unlock()
	s.slots[i].obj = obj
}

// replace puts an object into a slot unless the old one has left it. It reports whether it did.
func (s *server) replace(i int, old, obj *object) bool {
	s.slots[i].mu.Lock()
	defer s.slots[i].mu.Unlock()
	if s.slots[i].obj != old {
		return false
	}
	s.slots[i].obj = obj
	return true
}

// stored returns how much memory the bodies take, which depends on chance.
func (s *server) stored() (n int) {
	for i := range s.slots {
		n += cap(s.load(i).body)
	}
	return n
}

// count notes that an operation was done.
func (s *server) count(op string) {
	n, _ := s.done.LoadOrStore(op, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

// counts returns what was done.
func (s *server) counts() map[string]int64 {
	all := map[string]int64{}
	s.done.Range(func(op, n any) bool {
		all[op.(string)] = n.(*atomic.Int64).Load()
		return true
	})
	return all
}
