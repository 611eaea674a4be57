package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// uploadChecksum is the attribute of an upload with the algorithm and type of its checksum. versitygw is not told of them: it would compute those of ciphertext.
const uploadChecksum = "objectserver-checksum"

// upload returns an upload by its id. It may not exist.
func (s *storage) upload(bucket, key, id string) Upload {
	dir := filepath.Join(posix.MetaTmpMultipartDir, fmt.Sprintf("%x", sha256.Sum256([]byte(key))), id)
	return Upload{objectID(bucket, key), id, attributes{s.storer, nil, bucket, dir}}
}

// checksumOf returns what kind of checksum an upload has, if any. It fails if the upload does not exist.
func checksumOf(u Upload) (checksum, error) {
	if err := checkUploadID(u.UploadID); err != nil {
		return checksum{}, err
	}
	text, err := u.Get(uploadChecksum)
	if errors.Is(err, fs.ErrNotExist) {
		err = s3err.GetNoSuchUploadErr(u.UploadID)
	}
	return parseChecksum(text), err
}

// CreateMultipartUpload begins an upload.
func (s *storage) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	r := s.request(ctx, *in.Bucket)
	sum := checksum{Algorithm: in.ChecksumAlgorithm, Type: in.ChecksumType}
	in.ChecksumAlgorithm, in.ChecksumType = "", ""
	in.ContentEncoding = ptr(contentEncoding(*in.ContentEncoding))
	out, err := s.Posix.CreateMultipartUpload(ctx, in)
	if err != nil {
		return out, answer(ctx, r, err)
	}
	u := s.upload(*in.Bucket, *in.Key, out.UploadId)
	if err = u.Set(uploadChecksum, sum.encode()); err == nil {
		err = s.encryption.CreateUpload(r, u)
	}
	if err != nil {
		err = errors.Join(err, s.Posix.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: in.Bucket, Key: in.Key, UploadId: &out.UploadId}))
	}
	return out, answer(ctx, r, err)
}

// UploadPart stores a part.
func (s *storage) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	r := s.request(ctx, *in.Bucket)
	out, err := s.uploadPart(ctx, r, in)
	return out, answer(ctx, r, err)
}

func (s *storage) uploadPart(ctx context.Context, r *Request, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	u := s.upload(*in.Bucket, *in.Key, *in.UploadId)
	want, err := checksumOf(u)
	if err != nil {
		return nil, err
	}
	if in.ChecksumAlgorithm == "" {
		in.ChecksumAlgorithm = want.Algorithm
	}
	body := newBody(in, in.Body, *in.ContentLength)
	if want.Algorithm != "" && body.algorithm != want.Algorithm {
		return nil, s3err.GetChecksumTypeMismatchErr(want.Algorithm, body.algorithm)
	}
	d, err := s.encryption.UploadPart(r, u, int(*in.PartNumber), body)
	if err != nil {
		return nil, err
	}
	defer d.close()
	var facts Facts
	in.Body, in.ContentLength = ciphertext{d.Body}, &d.Size
	out, err := s.Posix.UploadPartWithPostFunc(ctx, in, func(f *os.File) (err error) {
		a := attributes{storer: s.storer, file: f}
		if facts, err = d.Finish(a); err != nil {
			return err
		}
		return a.Set(etagAttribute, []byte(quote(facts.ETag)))
	})
	if err != nil {
		return nil, err
	}
	out.ETag = ptr(quote(facts.ETag))
	parseChecksum(facts.Checksum).tell(out)
	return out, nil
}

// CompleteMultipartUpload makes an object of parts.
func (s *storage) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	r := s.request(ctx, *in.Bucket)
	u := s.upload(*in.Bucket, *in.Key, *in.UploadId)
	if err := checkUploadID(u.UploadID); err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", err
	}
	sum, err := checksumOf(u)
	if _, gone := errors.AsType[s3err.NoSuchUploadError](err); gone {
		out, version, err := s.Posix.CompleteMultipartUpload(ctx, in) // which answers a second time as the first
		return out, version, answer(ctx, r, err)
	}
	if err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", answer(ctx, r, err)
	}
	out, version, err := s.complete(ctx, r, u, in, sum)
	return out, version, answer(ctx, r, err)
}

func (s *storage) complete(ctx context.Context, r *Request, u Upload, in *s3.CompleteMultipartUploadInput, sum checksum) (out s3response.CompleteMultipartUploadResult, version string, err error) {
	if in.ChecksumType != "" && in.ChecksumType != sum.Type {
		return out, "", s3err.GetChecksumTypeMismatchOnMpErr(sum.Type)
	}
	completion, err := s.encryption.Complete(r, u)
	if err != nil {
		return out, "", err
	}
	defer completion.Close()
	a := &assembly{storage: s, completion: completion, in: in, sum: sum}
	plain := *in // without what is about plaintext
	checksum{}.tell(&plain)
	plain.MpuObjectSize, plain.MultipartUpload = nil, new(types.CompletedMultipartUpload)
	for _, p := range in.MultipartUpload.Parts {
		plain.MultipartUpload.Parts = append(plain.MultipartUpload.Parts, types.CompletedPart{ETag: p.ETag, PartNumber: p.PartNumber})
	}
	defer func() { s.storer.replaced.Delete(a.file) }()
	out, version, err = s.Posix.CompleteMultipartUploadWithCopy(ctx, &plain, a.copy)
	if a.err != nil {
		err = a.err // what made versitygw give up
	}
	if err != nil {
		return out, "", err
	}
	out.ETag = ptr(quote(a.facts.ETag))
	parseChecksum(a.facts.Checksum).tell(&out)
	return out, version, nil
}
