package encryption_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/objectkms/kms/encryption"
)

// transport says what these handlers know of a connection.
func transport(r *http.Request) encryption.Transport {
	return encryption.Transport{Secure: r.TLS != nil, SigV4: true} // after the server has verified the signature
}

// answer prints what a client sees of a response, or of the error that the handler has instead.
func answer(w *httptest.ResponseRecorder, err error, names ...string) {
	if err != nil {
		e := encryption.S3Error(err)
		fmt.Println(e.Status, e.Code)
		return
	}
	fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Body)))
	for _, name := range names {
		if value := w.Header().Get(name); value != "" {
			fmt.Println(name+":", value)
		}
	}
}

// PUT: the headers say how the object is protected. What is stored is the encrypted body and, with the metadata, the envelope.
func ExampleService_EncryptStream() {
	svc := newExampleService()
	var body bytes.Buffer           // where the server stores the body
	metadata := map[string]string{} // and the metadata of the object

	put := func(w http.ResponseWriter, r *http.Request) error {
		req, err := encryption.ParseWriteHeaders(r.Header, transport(r), encryption.BucketDefault{})
		if err != nil {
			return err
		}
		req.PlainSize = max(r.ContentLength, 0) // where it is declared, a body of another size is refused
		object, err := svc.EncryptStream(r.Context(), photo, req, r.Body)
		if err != nil {
			return err
		}
		defer object.Close()
		if _, err := io.Copy(&body, object); err != nil {
			return err
		}
		env, err := object.Envelope()
		if err != nil {
			return err
		}
		maps.Copy(metadata, env.Map())
		w.Header().Set("ETag", `"`+object.ETag()+`"`)
		object.WriteHeaders(w.Header())
		return nil
	}

	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "https://s3.example.com/photos/2024/cat.jpg", strings.NewReader("meow"))
	answer(w, put(w, r), "ETag", "X-Amz-Server-Side-Encryption")
	fmt.Println(body.Len(), strings.Contains(body.String(), "meow"), len(metadata))

	r.Header.Set("X-Amz-Server-Side-Encryption", "aes:kms")
	answer(w, put(w, r))
	// Output:
	// 200
	// ETag: "4a4be40c96ac6314e91d93f38043a634"
	// X-Amz-Server-Side-Encryption: AES256
	// 76 false 1
	// 400 InvalidArgument
}

// GET, of a range or of all: the first byte is authentic before the response begins, and nothing is read but the chunks that are asked for.
func ExampleService_OpenObject() {
	svc := newExampleService()
	body, metadata := storeExample(svc, "all the bytes of a picture of a cat")
	fetch := func(ctx context.Context, off, n int64) (io.ReadCloser, error) { // from where the server has stored the body
		return io.NopCloser(io.NewSectionReader(bytes.NewReader(body), off, n)), nil
	}

	get := func(w http.ResponseWriter, r *http.Request) error {
		env, err := encryption.ParseEnvelope(metadata)
		if err != nil {
			return err
		}
		req, err := encryption.ParseReadHeaders(r.Header, transport(r))
		if err != nil {
			return err
		}
		object, err := svc.OpenObject(r.Context(), photo, env, req, int64(len(body)))
		if err != nil {
			return err
		}
		defer object.Close()
		off, n, partial, err := object.ParseRange(r.Header.Get("Range"))
		if err != nil {
			return err
		}
		plain, err := object.Range(r.Context(), off, n, fetch)
		if err != nil {
			return err
		}
		defer plain.Close()
		object.WriteHeaders(w.Header())
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		if partial {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, object.Size()))
			w.WriteHeader(http.StatusPartialContent)
		}
		if _, err := io.Copy(w, plain); err != nil {
			panic(http.ErrAbortHandler) // the response has begun: all that is left is to cut the connection
		}
		return nil
	}

	for _, ranges := range []string{"", "bytes=-3", "bytes=35-"} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "https://s3.example.com/photos/2024/cat.jpg", nil)
		r.Header.Set("Range", ranges)
		answer(w, get(w, r), "Content-Range")
	}
	// Output:
	// 200 all the bytes of a picture of a cat
	// 206 cat
	// Content-Range: bytes 32-34/35
	// 416 InvalidRange
}

// GET with the standard library, which knows If-Range and several ranges too. Prefetch authenticates what the response begins with.
func ExampleObject_NewReaderAt() {
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
		off, _, _, err := object.ParseRange(r.Header.Get("Range"))
		if err != nil {
			return err
		}
		plain, err := object.NewReaderAt(bytes.NewReader(body))
		if err != nil {
			return err
		}
		if err := plain.Prefetch(off); err != nil {
			return err
		}
		http.ServeContent(w, r, photo.Key, time.Time{}, io.NewSectionReader(plain, 0, object.Size()))
		return nil
	}

	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/photos/2024/cat.jpg", nil)
	r.Header.Set("Range", "bytes=-3")
	answer(w, get(w, r), "Content-Range")
	body[len(body)-1] ^= 1
	answer(w, get(w, r))
	// Output:
	// 206 cat
	// Content-Range: bytes 32-34/35
	// 500 InternalError
}

// HEAD: size and protection, from an object that was opened and not read. A LIST asks [encryption.Info], which needs no key.
func ExampleObject_WriteHeaders() {
	svc := newExampleService()
	body, metadata := storeExample(svc, "meow")

	head := func(w http.ResponseWriter, r *http.Request) error {
		env, err := encryption.ParseEnvelope(metadata)
		if err != nil {
			return err
		}
		req, err := encryption.ParseReadHeaders(r.Header, transport(r))
		if err != nil {
			return err
		}
		object, err := svc.OpenObject(r.Context(), photo, env, req, int64(len(body)))
		if err != nil {
			return err
		}
		defer object.Close()
		w.Header().Set("Content-Length", strconv.FormatInt(object.Size(), 10))
		object.WriteHeaders(w.Header())
		return nil
	}

	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodHead, "https://s3.example.com/photos/2024/cat.jpg", nil)
	answer(w, head(w, r), "Content-Length", "X-Amz-Server-Side-Encryption")
	r.Header.Set("X-Amz-Server-Side-Encryption", "AES256")
	answer(w, head(w, r))
	// Output:
	// 200
	// Content-Length: 4
	// X-Amz-Server-Side-Encryption: AES256
	// 400 InvalidArgument
}

// COPY makes a new envelope for the same stored body. So do a rename, another key and another mode.
func ExampleService_Rewrap() {
	svc := newExampleService()
	_, metadata := storeExample(svc, "meow")
	archived := encryption.ObjectID{Bucket: "archive", Key: "cat.jpg"}
	var copied map[string]string // the metadata of the new object, whose body is the old one's

	copyObject := func(w http.ResponseWriter, r *http.Request) error {
		env, err := encryption.ParseEnvelope(metadata)
		if err != nil {
			return err
		}
		source, err := encryption.ParseCopySourceHeaders(r.Header, transport(r))
		if err != nil {
			return err
		}
		target, err := encryption.ParseWriteHeaders(r.Header, transport(r), encryption.BucketDefault{}) // of the target's bucket
		if err != nil {
			return err
		}
		env, err = svc.Rewrap(r.Context(), photo, env, source, archived, target)
		if err != nil {
			return err
		}
		copied = env.Map()
		svc.WriteCopyHeaders(w.Header(), env, target)
		return nil
	}

	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "https://s3.example.com/archive/cat.jpg", nil)
	r.Header.Set("X-Amz-Server-Side-Encryption", "aws:kms")
	answer(w, copyObject(w, r), "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")
	env, err := encryption.ParseEnvelope(copied)
	fmt.Println(env.Mode(), env.PlainSize(), err)
	// Output:
	// 200
	// X-Amz-Server-Side-Encryption: aws:kms
	// X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id: default
	// SSE-KMS 4 <nil>
}

// Checksums and the like, which tell of the plaintext, are sealed under the object's own key. They stay valid when the object is copied or its key is rotated.
func ExampleEncryptedObject_SealAttribute() {
	ctx := context.Background()
	svc := newExampleService()
	object, err := svc.EncryptStream(ctx, photo, &encryption.Request{Mode: encryption.SSEKMS}, strings.NewReader("meow"))
	if err != nil {
		panic(err)
	}
	defer object.Close()
	body, err := io.ReadAll(object)
	if err != nil {
		panic(err)
	}
	sealed, err := object.SealAttribute("x-amz-checksum-crc32", []byte("VGqoLQ==")) // as text, for the metadata
	if err != nil {
		panic(err)
	}
	env, err := object.Envelope()
	if err != nil {
		panic(err)
	}

	opened, err := svc.OpenObject(ctx, photo, env, nil, int64(len(body)))
	if err != nil {
		panic(err)
	}
	defer opened.Close()
	checksum, err := opened.OpenAttribute("x-amz-checksum-crc32", sealed)
	fmt.Printf("%s %v\n", checksum, err)
	_, err = opened.OpenAttribute("x-amz-checksum-sha256", sealed)
	fmt.Println(err)
	// Output:
	// VGqoLQ== <nil>
	// decryption failed
}
