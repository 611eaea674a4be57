package encryption_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/mock"
)

// With bucket keys small objects do not wait for the KeyService one by one.
func ExampleBucketKeyOptions() {
	backend := mock.New()
	keys := kms.NewManager(backend, kms.Options{DefaultKeyID: "default"})
	defer keys.Close()
	svc := encryption.NewService(keys, encryption.Options{BucketKeys: encryption.BucketKeyOptions{TTL: 5 * time.Minute}})
	defer svc.ClearBucketKeys()
	ctx := context.Background()
	if _, err := svc.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "default"}); err != nil {
		panic(err)
	}
	for i := range 100 {
		id := encryption.ObjectID{Bucket: "photos", Key: strconv.Itoa(i)}
		object, err := svc.EncryptStream(ctx, id, &encryption.Request{Mode: encryption.SSEKMS, BucketKey: true}, strings.NewReader("meow"))
		if err != nil {
			panic(err)
		}
		object.Close() // a server would store it
	}
	stats := svc.BucketKeyStats()
	fmt.Println(backend.Calls("GenerateDataKey"), stats.Hits, stats.Misses)
	// Output: 1 99 1
}

// After a rotation all envelopes are brought to the new version of their key. Store compares before it replaces.
func ExampleService_RewrapAll() {
	ctx := context.Background()
	keys := kms.NewManager(mock.New(), kms.Options{DefaultKeyID: "default"})
	defer keys.Close()
	svc := encryption.NewService(keys, encryption.Options{CreateDefaultKey: true})
	var names []string                         // the listing of the bucket
	metadata := map[string]map[string]string{} // of each object
	for _, name := range []string{"cat", "dog", "owl"} {
		names = append(names, name)
		id := encryption.ObjectID{Bucket: "photos", Key: name}
		object, err := svc.EncryptStream(ctx, id, &encryption.Request{Mode: encryption.SSES3, PlainSize: 4}, strings.NewReader("meow"))
		if err != nil {
			panic(err)
		}
		env, err := object.Envelope()
		if err != nil {
			panic(err)
		}
		metadata[name] = env.Map()
	}
	if _, err := svc.RotateKey(ctx, &kms.RotateKeyRequest{KeyID: "default"}); err != nil {
		panic(err)
	}

	next := func() (encryption.Item, bool) {
		if len(names) == 0 {
			return encryption.Item{}, false
		}
		name := names[0]
		names = names[1:]
		env, _ := encryption.ParseEnvelope(metadata[name]) // nil is reported as a failed item
		return encryption.Item{ID: encryption.ObjectID{Bucket: "photos", Key: name}, Envelope: env, Cursor: name}, true
	}
	store := func(ctx context.Context, item encryption.Item, env *encryption.Envelope) error {
		if metadata[item.ID.Key]["objectkms-envelope"] != item.Envelope.Map()["objectkms-envelope"] {
			return encryption.ErrChanged
		}
		metadata[item.ID.Key] = env.Map()
		return nil
	}
	report, err := svc.RewrapAll(ctx, next, encryption.RewrapAllOptions{Store: store})
	fmt.Println(report.Written, report.Failed, report.Cursor, err)
	fmt.Println(report.Before.MayUse("default", 1), report.After.MayUse("default", 1))
	// Output:
	// 3 0 owl <nil>
	// 3 0
}
