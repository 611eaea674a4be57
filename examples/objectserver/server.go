package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	versity "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/admin"
	"github.com/objectkms/kms/backend"
	"github.com/objectkms/kms/encryption"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/vault"
)

const (
	defaultKeyID  = "objectserver" // the master key of writes that name none
	adminPrefix   = "/_kms"        // no bucket can have this name
	bucketKeysTTL = 5 * time.Minute
	maxRequests   = 1000
)

// serve starts everything, prints the line that says so, and stops when the context ends.
func serve(ctx context.Context, s settings, out io.Writer) error {
	creds, err := setUp(s.dir)
	if err != nil {
		return err
	}
	keys := new(kms.ServiceManager)
	if err := openKeys(ctx, s, keys); err != nil {
		return err
	}
	defer keys.Stop(context.WithoutCancel(ctx))
	objects, err := openObjects(s, keys)
	if err != nil {
		return err
	}
	address, err := freeAddress(s.listen)
	if err != nil {
		return err
	}
	var ready error // of the callback, which cannot fail
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	root := middlewares.RootUserConfig{Access: creds.AccessKey, Secret: creds.SecretKey}
	config := &embedgw.Config{
		RootUserAccess: root.Access, RootUserSecret: root.Secret, Region: s.region, Ports: []string{address},
		MaxConnections: 10 * maxRequests, MaxRequests: maxRequests, MultipartMaxParts: 10_000, KeepAlive: true, Quiet: true,
		S3Options: []s3api.Option{
			s3api.WithMiddleware(adminPrefix, adminHandler(keys, objects.service, creds.AdminToken)),
			s3api.WithMiddleware("/", restOfChunks),
			s3api.WithMiddleware("/", objects.encryptionRoutes(root, s.region)),
			s3api.WithOnListen(func() {
				if ready = announce(s, creds, address, out); ready != nil {
					stop()
				}
			}),
		},
	}
	if s.tls {
		config.CertFile, config.KeyFile = filepath.Join(s.dir, "tls", "server.pem"), filepath.Join(s.dir, "tls", "server.key")
	}
	var storage versity.Backend = objects
	if s.encryption == "off" {
		storage = objects.Posix
	}
	return errors.Join(embedgw.RunVersityGW(ctx, storage, config), ready)
}

// openKeys starts the key management, and makes the default key when there is none yet.
func openKeys(ctx context.Context, s settings, keys *kms.ServiceManager) error {
	config := kms.Config{Options: kms.Options{DefaultKeyID: defaultKeyID}}
	config.Backend = local.Config{Dir: filepath.Join(s.dir, "keys"), RootKeyFile: filepath.Join(s.dir, "root.key")}
	if s.vault != "" {
		config.Backend = vault.Config{
			Address: s.vault, Auth: vault.TokenFileAuth{Path: s.vaultTokenFile}, Namespace: s.vaultNamespace,
			TransitMount: s.vaultMount, KVMount: s.vaultKVMount, TLS: vault.TLS{CAFile: s.vaultCA},
		}
	}
	if err := keys.Configure(config); err != nil {
		return err
	}
	if err := keys.Start(ctx); err != nil {
		return err
	}
	_, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: defaultKeyID, Description: "objects that name no key"})
	if errors.Is(err, kms.ErrKeyExists) {
		return nil
	}
	return err
}

// openObjects opens the storage of the gateway. It keeps what belongs to an object in extended attributes of its file, so that both always appear
// together.
func openObjects(s settings, keys kms.KeyService) (*objects, error) {
	root := filepath.Join(s.dir, "objects")
	if err := (meta.XattrMeta{}).Test(root); err != nil {
		return nil, fmt.Errorf("%s: %w; choose another -dir", root, err)
	}
	attributes := &attributes{MetadataStorer: meta.XattrMeta{}}
	options := posix.PosixOpts{CopyObjectThreshold: maxCopy, VersioningDir: filepath.Join(s.dir, "versions"), DataIntegrityEtag: s.encryption == "on"}
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	files, err := posix.New(root, attributes, options)
	if err != nil {
		return nil, err
	}
	o := &objects{Posix: files, attributes: attributes, secure: s.tls, bucketKeys: s.bucketKeys}
	var shared encryption.BucketKeyOptions
	if s.bucketKeys {
		shared.TTL = bucketKeysTTL
	}
	o.service = encryption.NewService(keys, encryption.Options{BucketKeys: shared})
	return o, nil
}

// adminHandler serves the administration of the keys to who has the token.
func adminHandler(keys *kms.ServiceManager, service *encryption.Service, token string) fiber.Handler {
	api := http.StripPrefix(adminPrefix, admin.New(keys, admin.Options{
		Decoders:  backend.Standard(),
		Authorize: func(*http.Request, admin.Call) error { return nil }, // who has come here has the token
		Audit: func(_ context.Context, r admin.Record) {
			if r.Call.Operation == admin.RotateKey {
				service.ClearBucketKeys() // so that the next objects are under the new version
			}
		},
	}))
	want := sha256.Sum256([]byte("Bearer " + token))
	return adaptor.HTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			http.Error(w, `{"code":"AccessDenied","message":"want the admin token as Authorization: Bearer"}`, http.StatusUnauthorized)
			return
		}
		api.ServeHTTP(w, r.WithContext(kms.WithPrincipal(r.Context(), "admin")))
	}))
}

// freeAddress replaces port 0 by a port that is free. The gateway does not tell which one it took.
func freeAddress(listen string) (string, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// announce says that the server answers, and how to talk to it.
func announce(s settings, creds credentials, address string, out io.Writer) error {
	url := "http://" + address
	if s.tls {
		url = "https://" + address
	}
	if err := writeClientEnv(s, creds, url); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, usage+"ready %s\n", filepath.Join(s.dir, "client.env"), url+adminPrefix, url)
	return err
}

const usage = `In another shell:

  . %s
  aws s3 mb s3://photos
  aws s3 cp cat.jpg s3://photos/                         # SSE-S3
  aws s3 cp cat.jpg s3://photos/ --sse aws:kms --sse-kms-key-id "$KMS_DEFAULT_KEY_ID"
  head -c 32 /dev/urandom > my.key
  aws s3 cp cat.jpg s3://photos/mine.jpg --sse-c AES256 --sse-c-key fileb://my.key
  aws s3 cp s3://photos/mine.jpg . --sse-c AES256 --sse-c-key fileb://my.key

The keys are administered at %s:

  curl --cacert "$AWS_CA_BUNDLE" -H "Authorization: Bearer $KMS_ADMIN_TOKEN" "$KMS_ADMIN_URL/kms/keys"

`
