package encryption_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/mock"
)

// A unit test needs no key store: package mock encrypts as the others do, in memory.
func Example() {
	keys := kms.NewManager(mock.New(), kms.Options{DefaultKeyID: "default"})
	svc := encryption.NewService(keys, encryption.Options{CreateDefaultKey: true})
	object, err := svc.EncryptStream(context.Background(), photo, &encryption.Request{Mode: encryption.SSES3}, strings.NewReader("meow"))

	fmt.Println(object.KeyID(), err)
	// Output: default <nil>
}

// A server with an I/O of its own says how to fetch stored bytes.
func ExampleObject_Range() {
	ctx := context.Background()
	svc := newExampleService()
	body, metadata := storeExample(svc, strings.Repeat("0123456789", 10_000))
	env, err := encryption.ParseEnvelope(metadata)
	if err != nil {
		panic(err)
	}

	object, err := svc.OpenObject(ctx, photo, env, nil, int64(len(body)))
	if err != nil {
		panic(err)
	}
	defer object.Close()
	r, err := object.Range(ctx, 50_003, 4, func(ctx context.Context, off, n int64) (io.ReadCloser, error) {
		fmt.Println("fetch", n, "bytes from", off)
		return io.NopCloser(bytes.NewReader(body[off : off+n])), nil
	})
	if err != nil {
		panic(err)
	}
	defer r.Close()
	plain, err := io.ReadAll(r)
	fmt.Printf("%s %v\n", plain, err)
	// Output:
	// fetch 56 bytes from 0
	// fetch 16400 bytes from 49256
	// 3456 <nil>
}

// The whole object, forward.
func ExampleService_DecryptStream() {
	svc := newExampleService()
	body, metadata := storeExample(svc, "meow")
	env, err := encryption.ParseEnvelope(metadata)
	if err != nil {
		panic(err)
	}
	r, err := svc.DecryptStream(context.Background(), photo, env, nil, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	defer r.Close()
	plain, err := io.ReadAll(r)
	fmt.Printf("%s %v\n", plain, err)

	// The envelope of one object opens no other.
	_, err = svc.DecryptStream(context.Background(), encryption.ObjectID{Bucket: "photos", Key: "dog.jpg"}, env, nil, bytes.NewReader(body))
	fmt.Println(errors.Is(err, kms.ErrDecrypt))
	// Output:
	// meow <nil>
	// true
}

// A listing shows sizes without any key.
func ExampleInfo() {
	body, metadata := storeExample(newExampleService(), "meow")
	env, err := encryption.ParseEnvelope(metadata)
	if err != nil {
		panic(err)
	}
	info, err := encryption.Info(env, int64(len(body)))
	fmt.Println(info.Mode, info.KeyID, info.PlainSize, err)
	// Output: SSE-S3 default 4 <nil>
}

// A GET with ?partNumber=2 reads a range.
func ExampleObject_Part() {
	svc := newExampleService()
	body, metadata := storeExample(svc, "not uploaded in parts")
	env, err := encryption.ParseEnvelope(metadata)
	if err != nil {
		panic(err)
	}
	object, err := svc.OpenObject(context.Background(), photo, env, nil, int64(len(body)))
	if err != nil {
		panic(err)
	}
	defer object.Close()
	off, size, err := object.Part(1)
	fmt.Println(object.Parts(), off, size, err)
	_, _, err = object.Part(2)
	fmt.Println(encryption.S3Error(err).Status, encryption.S3Error(err).Code)
	// Output:
	// 0 0 21 <nil>
	// 416 InvalidPartNumber
}

func newExampleService() *encryption.Service {
	keys := kms.NewManager(mock.New(), kms.Options{DefaultKeyID: "default"})
	return encryption.NewService(keys, encryption.Options{CreateDefaultKey: true})
}

// storeExample returns what a PUT of the plaintext stores.
func storeExample(svc *encryption.Service, plain string) (body []byte, metadata map[string]string) {
	object, err := svc.EncryptStream(context.Background(), photo, &encryption.Request{Mode: encryption.SSES3}, strings.NewReader(plain))
	if err != nil {
		panic(err)
	}
	defer object.Close()
	if body, err = io.ReadAll(object); err != nil {
		panic(err)
	}
	env, err := object.Envelope()
	if err != nil {
		panic(err)
	}
	return body, env.Map()
}
