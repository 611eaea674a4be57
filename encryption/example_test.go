package encryption_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

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

// A PUT stores the encrypted body and the envelope. The size of the body is not known before its end.
func ExampleService_EncryptStream() {
	svc := newExampleService()
	var body bytes.Buffer           // where the server stores the body
	metadata := map[string]string{} // and the metadata of the object

	put := func(w http.ResponseWriter, r *http.Request) error {
		object, err := svc.EncryptStream(r.Context(), photo, &encryption.Request{Mode: encryption.SSES3, MD5: true}, r.Body)
		if err != nil {
			return err
		}
		defer object.Close()
		if _, err := io.Copy(&body, object); err != nil {
			return err
		}
		env, err := object.Envelope()
		for name, value := range env.Map() {
			metadata[name] = value
		}
		w.Header().Set("ETag", `"`+object.ETag()+`"`)
		return err
	}

	w := httptest.NewRecorder()
	err := put(w, httptest.NewRequest(http.MethodPut, "/photos/2024/cat.jpg", strings.NewReader("meow")))
	fmt.Println(w.Result().Header.Get("ETag"), err)
	fmt.Println(body.Len(), strings.Contains(body.String(), "meow"), len(metadata))
	// Output:
	// "4a4be40c96ac6314e91d93f38043a634" <nil>
	// 76 false 1
}

// A GET parses the envelope, opens the object, and leaves the rest to http.ServeContent: Range, If-Range, several ranges.
func ExampleService_OpenObject() {
	svc := newExampleService()
	body, metadata := storeExample(svc, "all the bytes of a picture of a cat")

	get := func(w http.ResponseWriter, r *http.Request) error {
		env, err := encryption.ParseEnvelope(metadata)
		if err != nil {
			return err
		}
		object, err := svc.OpenObject(r.Context(), photo, env, nil, int64(len(body)))
		if err != nil {
			return err
		}
		defer object.Close()
		plain, err := object.NewReaderAt(bytes.NewReader(body))
		if err != nil {
			return err
		}
		http.ServeContent(w, r, photo.Key, time.Time{}, io.NewSectionReader(plain, 0, object.Size()))
		return nil
	}

	r := httptest.NewRequest(http.MethodGet, "/photos/2024/cat.jpg", nil)
	r.Header.Set("Range", "bytes=-3")
	w := httptest.NewRecorder()
	err := get(w, r)
	fmt.Println(w.Code, w.Header().Get("Content-Range"), w.Body, err)
	// Output: 206 bytes 32-34/35 cat <nil>
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

// A copy, a rename or a new version of the key needs a new envelope. The body stays where it is.
func ExampleService_Rewrap() {
	svc := newExampleService()
	_, metadata := storeExample(svc, "meow")
	env, err := encryption.ParseEnvelope(metadata)
	if err != nil {
		panic(err)
	}
	renamed := encryption.ObjectID{Bucket: "archive", Key: "cat.jpg"}
	env, err = svc.Rewrap(context.Background(), photo, env, nil, renamed, &encryption.Request{Mode: encryption.SSEKMS, BucketKey: true})
	fmt.Println(env.Mode(), env.KeyID(), err)
	// Output: SSE-KMS default <nil>
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
