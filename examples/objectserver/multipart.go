package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	versity "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// upload is what is stored with the directory of a multipart upload.
type upload struct {
	State    *encryption.UploadState
	Checksum checksum
}

// uploadDir returns where the gateway keeps an upload, below the directory of the bucket.
func uploadDir(key, id string) string {
	return filepath.Join(posix.MetaTmpMultipartDir, fmt.Sprintf("%x", sha256.Sum256([]byte(key))), id)
}

// CreateMultipartUpload asks for the data key of the object to be, and stores what is needed to go on with its parts.
func (o *objects) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (out s3response.InitiateMultipartUploadResult, err error) {
	r := o.request(ctx)
	target, err := o.parseWrite(r, *in.Bucket)
	if err != nil {
		return out, answer(err)
	}
	defer target.CustomerKey.Destroy()
	u := upload{Checksum: checksum{Algorithm: in.ChecksumAlgorithm, Type: in.ChecksumType}}
	in.ChecksumAlgorithm, in.ChecksumType = "", "" // the gateway would compute those of ciphertext
	out, err = o.Posix.CreateMultipartUpload(ctx, in)
	if err != nil {
		return out, answer(err)
	}
	if err := o.createUpload(r, out, target, &u); err != nil {
		err = errors.Join(err, o.Posix.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: in.Bucket, Key: in.Key, UploadId: &out.UploadId}))
		return out, answer(err)
	}
	return out, nil
}

func (o *objects) createUpload(r request, of s3response.InitiateMultipartUploadResult, target *encryption.Request, u *upload) error {
	created, err := o.service.CreateUpload(r, encryption.ObjectID{Bucket: of.Bucket, Key: of.Key}, of.UploadId, target)
	if err != nil {
		return err
	}
	defer created.Close()
	u.State = created.State()
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	if err := o.attributes.StoreAttribute(nil, of.Bucket, uploadDir(of.Key, of.UploadId), uploadAttribute, text); err != nil {
		return err
	}
	created.WriteHeaders(r.answer)
	return nil
}

// loadUpload returns what createUpload has stored.
func (o *objects) loadUpload(bucket, key, id string) (u upload, err error) {
	text, err := o.attributes.RetrieveAttribute(nil, bucket, uploadDir(key, id), uploadAttribute)
	if errors.Is(err, fs.ErrNotExist) {
		return u, s3err.GetNoSuchUploadErr(id)
	}
	if errors.Is(err, meta.ErrNoSuchKey) {
		err = fmt.Errorf("%w: upload has no state", kms.ErrDecrypt)
	}
	if err != nil {
		return u, err
	}
	return u, json.Unmarshal(text, &u)
}

// openUpload goes on with an upload.
func (o *objects) openUpload(r request, bucket, key, id string) (*encryption.Upload, checksum, error) {
	req, err := encryption.ParseReadHeaders(r.Header, r.Transport)
	if err != nil {
		return nil, checksum{}, err
	}
	defer req.CustomerKey.Destroy()
	u, err := o.loadUpload(bucket, key, id)
	if err != nil {
		return nil, checksum{}, err
	}
	req.MD5 = true // as the ETags of parts, where the mode allows it
	opened, err := o.service.OpenUpload(r, encryption.ObjectID{Bucket: bucket, Key: key}, id, u.State, req)
	return opened, u.Checksum, err
}

// UploadPart encrypts a part.
func (o *objects) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	out, err := o.encryptPart(ctx, o.request(ctx), in)
	return out, answer(err)
}

func (o *objects) encryptPart(ctx context.Context, r request, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	opened, want, err := o.openUpload(r, *in.Bucket, *in.Key, *in.UploadId)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	if in.ChecksumAlgorithm == "" {
		in.ChecksumAlgorithm = want.Algorithm
	}
	plain, err := newPlaintext(in, in.Body, *in.ContentLength)
	if err != nil {
		return nil, err
	}
	if want.Algorithm != "" && plain.algorithm != want.Algorithm {
		return nil, s3err.GetChecksumTypeMismatchErr(want.Algorithm, plain.algorithm)
	}
	part, err := opened.EncryptPart(int(*in.PartNumber), plain)
	if err != nil {
		return nil, err
	}
	defer part.Close()
	in.Body, in.ContentLength = ciphertext{part}, ptr(encryption.StoredSize(*in.ContentLength))
	out, err := o.Posix.UploadPartWithPostFunc(ctx, in, func(f *os.File) error {
		return o.attachPart(f, opened, part, int(*in.PartNumber), plain.checksum())
	})
	if err != nil {
		return nil, err
	}
	out.ETag = ptr(quote(part.ETag()))
	plain.checksum().tell(out)
	part.WriteHeaders(r.answer)
	return out, nil
}

// attachPart stores what belongs to a part with its file. With the file it takes the place of an earlier upload of the part.
func (o *objects) attachPart(f *os.File, u *encryption.Upload, part *encryption.EncryptedPart, number int, sum checksum) error {
	receipt, err := part.Receipt()
	if err != nil {
		return err
	}
	text, err := receipt.MarshalText()
	if err != nil {
		return err
	}
	sealed, err := sum.seal(partChecksum(number), u.SealAttribute)
	if err != nil {
		return err
	}
	return errors.Join(
		o.attributes.StoreAttribute(f, "", "", "etag", []byte(quote(part.ETag()))),
		o.attributes.StoreAttribute(f, "", "", receiptAttribute, text),
		o.attributes.StoreAttribute(f, "", "", checksumAttribute, sealed))
}

func partChecksum(number int) string { return fmt.Sprint(checksumAttribute, "-", number) }

// CompleteMultipartUpload makes an object of parts.
func (o *objects) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (out s3response.CompleteMultipartUploadResult, version string, err error) {
	r := o.request(ctx)
	r.Header = customerKeyOnly{r.Header}
	opened, sum, err := o.openUpload(r, *in.Bucket, *in.Key, *in.UploadId)
	if _, gone := errors.AsType[s3err.NoSuchUploadError](err); gone {
		out, version, err = o.Posix.CompleteMultipartUpload(ctx, in) // which answers a second time as the first
		return out, version, answer(err)
	}
	if err != nil {
		return out, "", answer(err)
	}
	defer opened.Close()
	if in.ChecksumType != "" && in.ChecksumType != sum.Type {
		return out, "", s3err.GetChecksumTypeMismatchOnMpErr(sum.Type)
	}
	c := &completion{ctx: r, objects: o, upload: opened, in: in, done: record{sum: sum}}
	forGateway := *in
	checksum{}.tell(&forGateway)
	forGateway.MpuObjectSize, forGateway.MultipartUpload = nil, new(types.CompletedMultipartUpload)
	for _, p := range in.MultipartUpload.Parts {
		forGateway.MultipartUpload.Parts = append(forGateway.MultipartUpload.Parts, types.CompletedPart{ETag: p.ETag, PartNumber: p.PartNumber})
	}
	defer func() { o.attributes.replaced.Delete(c.file) }()
	out, version, err = o.Posix.CompleteMultipartUploadWithCopy(ctx, &forGateway, c.copy)
	if c.err != nil {
		err = c.err
	}
	if err != nil {
		return out, "", answer(err)
	}
	out.ETag = ptr(quote(c.done.etag))
	c.done.sum.tell(&out)
	opened.WriteHeaders(r.answer)
	return out, version, nil
}

// customerKeyOnly hides the headers that some clients repeat when they complete an upload.
type customerKeyOnly struct{ encryption.Header }

func (h customerKeyOnly) Get(name string) string {
	if strings.HasPrefix(name, "x-amz-server-side-encryption-customer-") {
		return h.Header.Get(name)
	}
	return ""
}

// completion puts the parts of an upload together while the gateway copies one after the other into the object's file: what is copied is what the
// envelope is made of, also if a part is sent again meanwhile.
type completion struct {
	ctx      context.Context
	objects  *objects
	upload   *encryption.Upload
	in       *s3.CompleteMultipartUploadInput
	receipts []encryption.PartReceipt
	sums     []checksum
	sizes    []int64
	done     record
	file     *os.File
	err      error
}

// copy is called for each part. The gateway does something of its own after an error, so that none is returned: refused attributes end the completion.
func (c *completion) copy(from, to *os.File) (bool, error) {
	const repeatable = true
	c.file = to
	if c.err == nil {
		c.err = c.add(from)
	}
	if c.err == nil && len(c.receipts) == len(c.in.MultipartUpload.Parts) {
		c.err = c.finish()
	}
	if c.err != nil {
		c.objects.attributes.replaced.Store(to, c.err)
		return repeatable, nil
	}
	_, err := io.Copy(to, from)
	return repeatable, err
}

// add reads what is stored with a part.
func (c *completion) add(from *os.File) error {
	part := c.in.MultipartUpload.Parts[len(c.receipts)]
	text, err := c.objects.attribute(from, receiptAttribute)
	if err != nil {
		return err
	}
	sealed, err := c.objects.attribute(from, checksumAttribute)
	if err != nil {
		return err
	}
	info, err := from.Stat()
	if err != nil {
		return err
	}
	size, err := encryption.PlainSize(info.Size())
	if err != nil {
		return err
	}
	if len(c.receipts)+1 < len(c.in.MultipartUpload.Parts) && size < versity.MinPartSize {
		return s3err.GetEntityTooSmallErr(size, versity.MinPartSize)
	}
	var receipt encryption.PartReceipt
	if err := receipt.UnmarshalText(text); err != nil {
		return fmt.Errorf("%w: part %d has no receipt", kms.ErrDecrypt, *part.PartNumber)
	}
	receipt.ETag = *part.ETag
	sum, err := openChecksum(partChecksum(int(*part.PartNumber)), sealed, c.upload.OpenAttribute)
	if err != nil {
		return err
	}
	if want := given(&part); want.Value != "" && want.Algorithm == sum.Algorithm && want.Value != sum.Value {
		return s3err.GetInvalidPartErr(*c.in.UploadId, *part.PartNumber, *part.ETag)
	}
	c.receipts, c.sums, c.sizes = append(c.receipts, receipt), append(c.sums, sum), append(c.sizes, size)
	return nil
}

// finish makes the record of the object.
func (c *completion) finish() (err error) {
	id := encryption.ObjectID{Bucket: *c.in.Bucket, Key: *c.in.Key}
	if c.done.envelope, err = c.upload.Complete(c.ctx, id, c.receipts); err != nil {
		return err
	}
	if size := c.done.envelope.PlainSize(); c.in.MpuObjectSize != nil && size != *c.in.MpuObjectSize {
		return s3err.GetIncorrectMpObjectSizeErr(size, *c.in.MpuObjectSize)
	}
	if c.done.etag, err = encryption.CompletedETag(c.receipts); err != nil {
		return err
	}
	if c.done.sum.Type != "" {
		if err := c.combine(&c.done.sum); err != nil {
			return err
		}
		if c.done.sealed, err = c.done.sum.seal(checksumAttribute, c.upload.SealAttribute); err != nil {
			return err
		}
	}
	return c.objects.attach(c.file, &c.done)
}

// combine makes the checksum of the object of those of its parts, and compares it with the one that the client says.
func (c *completion) combine(sum *checksum) (err error) {
	if sum.Type == types.ChecksumTypeComposite {
		r, err := utils.NewCompositeChecksumReader(utils.HashType(strings.ToLower(string(sum.Algorithm))))
		if err != nil {
			return err
		}
		for _, part := range c.sums {
			if err := r.Process(part.Value); err != nil {
				return err
			}
		}
		sum.Value = fmt.Sprint(r.Sum(), "-", len(c.sums))
	} else {
		sum.Value = c.sums[0].Value
		for i := 1; i < len(c.sums); i++ {
			if sum.Value, err = utils.AddCRCChecksum(sum.Algorithm, sum.Value, c.sums[i].Value, c.sizes[i]); err != nil {
				return err
			}
		}
	}
	if want := given(c.in); want.Value != "" && want.Value != sum.Value && fmt.Sprint(want.Value, "-", len(c.sums)) != sum.Value {
		return s3err.GetChecksumBadDigestErr(sum.Algorithm)
	}
	return nil
}
