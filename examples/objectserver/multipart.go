package main

import (
	"errors"
	"fmt"

	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/examples/objectserver/gateway"
)

// CreateUpload asks for the data key of an object that comes in parts, and stores what is needed to go on.
func (o *objects) CreateUpload(r *gateway.Request, u gateway.Upload) error {
	target, err := o.parseWrite(r)
	if err != nil {
		return err
	}
	upload, err := o.service.CreateUpload(r, u.ID, u.UploadID, target)
	if err != nil {
		return err
	}
	defer upload.Close()
	upload.WriteHeaders(r.Answer)
	return store(u, stateAttribute, upload.State())
}

// openUpload goes on with an upload.
func (o *objects) openUpload(r *gateway.Request, u gateway.Upload, parse func(encryption.Header, encryption.Transport) (*encryption.Request, error)) (*encryption.Upload, error) {
	state := new(encryption.UploadState)
	if err := load(u, stateAttribute, state); err != nil {
		return nil, err
	}
	req, err := parse(r.Header, r.Transport)
	if err != nil {
		return nil, err
	}
	req.MD5 = true // as the ETags of parts, where the mode allows it
	return o.service.OpenUpload(r, u.ID, u.UploadID, state, req)
}

// UploadPart encrypts a part. Its receipt lies with its file, and with it takes the place of an earlier upload of the part.
func (o *objects) UploadPart(r *gateway.Request, u gateway.Upload, number int, plain *gateway.Body) (*gateway.Draft, error) {
	upload, err := o.openUpload(r, u, encryption.ParseReadHeaders)
	if err != nil {
		return nil, err
	}
	part, err := upload.EncryptPart(number, plain)
	if err != nil {
		return nil, errors.Join(err, upload.Close())
	}
	finish := func(f gateway.Attributes) (gateway.Facts, error) {
		receipt, err := part.Receipt()
		if err != nil {
			return gateway.Facts{}, err
		}
		part.WriteHeaders(r.Answer)
		facts := gateway.Facts{ETag: part.ETag(), Checksum: plain.Checksum()}
		return facts, errors.Join(store(f, receiptAttribute, receipt), storeChecksum(f, partChecksum(number), facts.Checksum, upload.SealAttribute))
	}
	return &gateway.Draft{Body: part, Size: encryption.StoredSize(plain.Limit), Finish: finish, Close: upload.Close}, nil
}

// partChecksum is the name under which the checksum of a part is sealed.
func partChecksum(number int) string { return fmt.Sprint(checksumAttribute, "-", number) }

// PartSize returns the size that a ListParts shows of a stored part.
func (o *objects) PartSize(stored int64) (int64, error) { return encryption.PlainSize(stored) }

// completion makes an object of parts.
type completion struct {
	*encryption.Upload
	request  *gateway.Request
	id       encryption.ObjectID
	receipts []encryption.PartReceipt
}

// Complete begins to make an object of parts. The gateway adds those that the client names, in their order, and closes it in the end.
func (o *objects) Complete(r *gateway.Request, u gateway.Upload) (gateway.Completion, error) {
	upload, err := o.openUpload(r, u, encryption.ParseCompleteHeaders)
	return &completion{Upload: upload, request: r, id: u.ID}, err
}

// Add takes what lies with the file of a part, and returns the part's checksum.
func (c *completion) Add(f gateway.Attributes, number int, etag string) ([]byte, error) {
	var receipt encryption.PartReceipt
	if err := load(f, receiptAttribute, &receipt); err != nil {
		return nil, err
	}
	receipt.ETag = etag
	c.receipts = append(c.receipts, receipt)
	sealed, err := f.Get(checksumAttribute)
	if err != nil {
		return nil, err
	}
	return c.OpenAttribute(partChecksum(number), sealed)
}

// Finish makes the envelope of the stored parts, one after the other. A checksum of the whole is the gateway's to make.
func (c *completion) Finish(f gateway.Attributes, checksum []byte) (gateway.Facts, error) {
	env, err := c.Complete(c.request, c.id, c.receipts)
	if err != nil {
		return gateway.Facts{}, err
	}
	etag, err := encryption.CompletedETag(c.receipts)
	if err != nil {
		return gateway.Facts{}, err
	}
	c.WriteHeaders(c.request.Answer)
	facts := gateway.Facts{Size: env.PlainSize(), ETag: etag, Checksum: checksum}
	return facts, errors.Join(store(f, envelopeAttribute, env), storeChecksum(f, checksumAttribute, checksum, c.SealAttribute))
}
