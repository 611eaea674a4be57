package encryption_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"

	"github.com/objectkms/kms/encryption"
)

// An exampleUploader is what a server needs of multipart uploads. It has room for one upload of one object.
type exampleUploader struct {
	svc      *encryption.Service
	state    encryption.UploadState
	bodies   [10_001][]byte // stored parts,
	receipts [10_001]encryption.PartReceipt
	body     []byte // and the object that they became
	metadata map[string]string
}

const exampleUploadID = "upload-1"

// create is CreateMultipartUpload. What it stores is the state of the upload.
func (e *exampleUploader) create(w http.ResponseWriter, r *http.Request) error {
	req, err := encryption.ParseWriteHeaders(r.Header, encryption.Transport{Secure: true, SigV4: true}, encryption.BucketDefault{})
	if err != nil {
		return err
	}
	upload, err := e.svc.CreateUpload(r.Context(), photo, exampleUploadID, req)
	if err != nil {
		return err
	}
	defer upload.Close()
	e.state = *upload.State() // with MarshalText, in a store that all processes see
	upload.WriteHeaders(w.Header())
	return nil
}

// open opens the upload for one request, with what was parsed of its headers.
func (e *exampleUploader) open(r *http.Request, req *encryption.Request, err error) (*encryption.Upload, error) {
	if err != nil {
		return nil, err
	}
	req.MD5 = true // parts of SSE-S3 uploads have the ETags that S3 clients expect
	return e.svc.OpenUpload(r.Context(), photo, exampleUploadID, &e.state, req)
}

// put is UploadPart. It stores the part, and beside it the receipt, in the place of what was there for this number.
func (e *exampleUploader) put(w http.ResponseWriter, r *http.Request) error {
	req, err := encryption.ParseReadHeaders(r.Header, encryption.Transport{Secure: true, SigV4: true})
	upload, err := e.open(r, req, err)
	if err != nil {
		return err
	}
	defer upload.Close()
	number, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
	part, err := upload.EncryptPart(number, r.Body)
	if err != nil {
		return err
	}
	defer part.Close()
	body, err := io.ReadAll(part)
	if err != nil {
		return err
	}
	receipt, err := part.Receipt()
	if err != nil {
		return err
	}
	e.bodies[number], e.receipts[number] = body, receipt // with MarshalText
	part.WriteHeaders(w.Header())
	w.Header().Set("ETag", `"`+part.ETag()+`"`)
	return nil
}

// complete is CompleteMultipartUpload. The stored parts become the stored body.
func (e *exampleUploader) complete(w http.ResponseWriter, r *http.Request) error {
	var list struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.NewDecoder(io.LimitReader(r.Body, 4<<20)).Decode(&list); err != nil {
		return err
	}
	req, err := encryption.ParseCompleteHeaders(r.Header, encryption.Transport{Secure: true, SigV4: true})
	upload, err := e.open(r, req, err)
	if err != nil {
		return err
	}
	defer upload.Close()
	var parts []encryption.PartReceipt
	var body []byte
	for _, part := range list.Part {
		receipt := encryption.PartReceipt{Number: part.PartNumber} // what stands for a part that there is not
		if n := part.PartNumber; n >= 1 && n <= 10_000 && e.bodies[n] != nil {
			receipt, body = e.receipts[n], append(body, e.bodies[n]...)
		}
		receipt.ETag = part.ETag
		parts = append(parts, receipt)
	}
	env, err := upload.Complete(r.Context(), photo, parts)
	if err != nil {
		return err
	}
	e.body, e.metadata = body, env.Map()
	upload.WriteHeaders(w.Header())
	etag, err := encryption.CompletedETag(parts)
	fmt.Fprintf(w, "<ETag>%s</ETag>", etag)
	return err
}

// A multipart upload: each request is a handler's, in any process. What they store is one state, and a body with a receipt for each part.
func ExampleUpload() {
	e := &exampleUploader{svc: newExampleService()}
	serve := func(handler func(http.ResponseWriter, *http.Request) error, target, body string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		if err := handler(w, httptest.NewRequest(http.MethodPost, target, strings.NewReader(body))); err != nil {
			fmt.Println(encryption.S3Error(err).Code)
		}
		return w
	}
	serve(e.create, "/photos/2024/cat.jpg?uploads", "")
	list := ""
	for number, plain := range map[int]string{1: "all the bytes of ", 2: "a picture of a cat"} {
		w := serve(e.put, "/photos/2024/cat.jpg?partNumber="+strconv.Itoa(number), plain)
		part := fmt.Sprintf("<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", number, w.Header().Get("ETag"))
		if number == 1 {
			list = part + list
		} else {
			list += part
		}
	}
	serve(e.complete, "/photos/2024/cat.jpg?uploadId=1", "<L><Part><PartNumber>3</PartNumber></Part></L>")
	fmt.Println(serve(e.complete, "/photos/2024/cat.jpg?uploadId=1", "<L>"+list+"</L>").Body)

	env, err := encryption.ParseEnvelope(e.metadata)
	if err != nil {
		panic(err)
	}
	r, err := e.svc.DecryptStream(httptest.NewRequest("GET", "/", nil).Context(), photo, env, nil, bytes.NewReader(e.body))
	if err != nil {
		panic(err)
	}
	defer r.Close()
	plain, err := io.ReadAll(r)
	fmt.Printf("%s %v\n", plain, err)
	// Output:
	// InvalidPart
	// <ETag>2ba189b7d922ff83f91b848b5d0db397-2</ETag>
	// all the bytes of a picture of a cat <nil>
}
