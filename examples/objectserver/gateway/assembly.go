package gateway

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	versity "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// assembly is the completion of an upload while versitygw copies one part after the other into the object's file. The object is made of what lies with the files
// that are copied, also if a part is sent again meanwhile.
type assembly struct {
	storage    *storage
	completion Completion
	in         *s3.CompleteMultipartUploadInput
	sum        checksum // of the object, without its value before the end
	sums       []checksum
	sizes      []int64
	facts      Facts
	file       *os.File
	err        error
}

// copy is called for each part. Behind an error versitygw would copy in its own way, so that none is returned: refused attributes end the completion.
func (a *assembly) copy(from, to *os.File) (bool, error) {
	const repeatable = true
	a.file = to
	if a.err == nil {
		a.err = a.add(from)
	}
	if a.err == nil && len(a.sums) == len(a.in.MultipartUpload.Parts) {
		a.err = a.finish()
	}
	if a.err != nil {
		a.storage.storer.replaced.Store(to, a.err)
		return repeatable, nil
	}
	_, err := io.Copy(to, from)
	return repeatable, err
}

func (a *assembly) add(from *os.File) error {
	parts := a.in.MultipartUpload.Parts
	part := parts[len(a.sums)]
	info, err := from.Stat()
	if err != nil {
		return err
	}
	size, err := a.storage.encryption.PartSize(info.Size())
	if err != nil {
		return err
	}
	if len(a.sums)+1 < len(parts) && size < versity.MinPartSize {
		return s3err.GetEntityTooSmallErr(size, versity.MinPartSize)
	}
	text, err := a.completion.Add(attributes{storer: a.storage.storer, file: from}, int(*part.PartNumber), *part.ETag)
	if err != nil {
		return err
	}
	sum := parseChecksum(text)
	if want := given(&part); want.Value != "" && want.Algorithm == sum.Algorithm && want.Value != sum.Value {
		return s3err.GetInvalidPartErr(*a.in.UploadId, *part.PartNumber, *part.ETag)
	}
	a.sums, a.sizes = append(a.sums, sum), append(a.sizes, size)
	return nil
}

func (a *assembly) finish() (err error) {
	if err := a.combine(); err != nil {
		return err
	}
	if a.facts, err = a.completion.Finish(attributes{storer: a.storage.storer, file: a.file}, a.sum.encode()); err != nil {
		return err
	}
	if a.in.MpuObjectSize != nil && a.facts.Size != *a.in.MpuObjectSize {
		return s3err.GetIncorrectMpObjectSizeErr(a.facts.Size, *a.in.MpuObjectSize)
	}
	a.storage.storer.replace(a.file, a.facts)
	return nil
}

// combine makes the checksum of the object of those of its parts, where it has one, and compares it with the one that the client says.
func (a *assembly) combine() (err error) {
	switch a.sum.Type {
	case "":
		return nil
	case types.ChecksumTypeComposite:
		a.sum.Value, err = a.composite()
	default:
		a.sum.Value = a.sums[0].Value
		for i := 1; i < len(a.sums) && err == nil; i++ {
			a.sum.Value, err = utils.AddCRCChecksum(a.sum.Algorithm, a.sum.Value, a.sums[i].Value, a.sizes[i])
		}
	}
	if err != nil {
		return err
	}
	if want := given(a.in).Value; want != "" && want != a.sum.Value && fmt.Sprint(want, "-", len(a.sums)) != a.sum.Value {
		return s3err.GetChecksumBadDigestErr(a.sum.Algorithm)
	}
	return nil
}

func (a *assembly) composite() (string, error) {
	r, err := utils.NewCompositeChecksumReader(utils.HashType(strings.ToLower(string(a.sum.Algorithm))))
	if err != nil {
		return "", err
	}
	for _, part := range a.sums {
		if err := r.Process(part.Value); err != nil {
			return "", err
		}
	}
	return fmt.Sprint(r.Sum(), "-", len(a.sums)), nil
}
