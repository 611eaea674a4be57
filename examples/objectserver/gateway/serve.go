package gateway

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/versity/versitygw/auth"
	versity "github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/controllers"
	"github.com/versity/versitygw/s3api/middlewares"
)

// maxRequests is how many requests are served at once.
const maxRequests = 1000

// Settings are those of the server, besides those of its encryption.
type Settings struct {
	Dir        string // of all files; absolute after Parse
	listen     string
	region     string
	tls        bool
	encryption string

	idleTimeout time.Duration
}

// AddTo adds the flags of the settings.
func (s *Settings) AddTo(flags *flag.FlagSet) {
	s.idleTimeout = idleTimeout
	flags.StringVar(&s.Dir, "dir", "data", "keep keys, credentials and objects in this `directory`")
	flags.StringVar(&s.listen, "listen", "127.0.0.1:9443", "`address` to serve; port 0 takes a free one")
	flags.StringVar(&s.region, "region", "us-east-1", "`region` that clients sign for")
	flags.BoolVar(&s.tls, "tls", true, "serve TLS; without it SSE-C is refused")
	flags.StringVar(&s.encryption, "encryption", "on", "`on` or off; off stores plaintext, and is for measuring on a loopback address")
}

// Parse parses the arguments, and makes the directories. Paths that are not empty become absolute: Serve changes the working directory.
func (s *Settings) Parse(flags *flag.FlagSet, args []string, paths ...*string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%d arguments besides flags, want none", flags.NArg())
	}
	if s.encryption != "on" && s.encryption != "off" {
		return fmt.Errorf("-encryption is %q, want on or off", s.encryption)
	}
	if s.encryption == "off" && !loopback(s.listen) {
		return fmt.Errorf("-encryption=off with -listen %s, want a loopback address such as 127.0.0.1:9443", s.listen)
	}
	for _, path := range append(paths, &s.Dir) {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = absolute
	}
	return makeDirectories(s.Dir)
}

// loopback reports whether only this machine reaches an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && net.ParseIP(host).IsLoopback()
}

// Main runs a program until it is done, or was interrupted.
func Main(run func(ctx context.Context, args []string, out io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, filepath.Base(os.Args[0])+":", err)
		os.Exit(1)
	}
}

// Serve serves S3, and the administration of keys, until the context ends. The line "ready" and the server's URL are the last that it prints before it answers.
func Serve(ctx context.Context, s Settings, e Encryption, admin http.Handler, defaultKeyID string, out io.Writer) error {
	creds, err := setUp(s.Dir)
	if err != nil {
		return err
	}
	objects, err := openStorage(s, e)
	if err != nil {
		return err
	}
	defer objects.Shutdown()
	server, err := newServer(s, objects, admin, creds)
	if err != nil {
		return err
	}
	l, err := listen(s)
	if err != nil {
		return err
	}
	if err := announce(s, creds, l.Addr().String(), defaultKeyID, out); err != nil {
		return errors.Join(err, l.Close())
	}
	return serve(ctx, server, l, s.idleTimeout)
}

// newServer returns the server of versitygw.
func newServer(s Settings, objects *storage, admin http.Handler, creds credentials) (*s3api.S3ApiServer, error) {
	root := middlewares.RootUserConfig{Access: creds.AccessKey, Secret: creds.SecretKey}
	accounts := auth.NewIAMServiceSingle(auth.Account{Access: root.Access, Secret: root.Secret, Role: auth.RoleAdmin})
	var backend versity.Backend = objects
	if s.encryption == "off" {
		backend = objects.Posix
	}
	server, err := s3api.New(backend, root, s.region, accounts, nil, nil, nil, nil,
		s3api.WithConcurrencyLimiter(2*maxConnections, maxRequests), s3api.WithMpMaxParts(10_000), s3api.WithKeepAlive(), s3api.WithQuiet(),
		s3api.WithMiddleware(adminPrefix, administration(admin, creds.AdminToken)),
		s3api.WithMiddleware("/", restOfChunks),
		s3api.WithMiddleware("/", controllers.WrapMiddleware(checkNames, nil, nil)),
		s3api.WithMiddleware("/", controllers.WrapMiddleware(limitBodies, nil, nil)),
		s3api.WithMiddleware("/", objects.encryptionRoutes(root, accounts, s.region)),
	)
	if err != nil {
		return nil, err
	}
	return server, streamForms(server)
}

// openStorage opens the directory of the objects. Attributes are those of the file system, so that a file and what belongs to it appear together.
func openStorage(s Settings, e Encryption) (*storage, error) {
	root := filepath.Join(s.Dir, "objects")
	if err := (meta.XattrMeta{}).Test(root); err != nil {
		return nil, fmt.Errorf("%s: %w; choose another -dir", root, err)
	}
	storer := &storer{MetadataStorer: meta.XattrMeta{}}
	// With encryption nobody needs the MD5 that versitygw would make of ciphertext, which this option turns off.
	options := posix.PosixOpts{CopyObjectThreshold: maxCopy, VersioningDir: filepath.Join(s.Dir, "versions"), DataIntegrityEtag: s.encryption == "on"}
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	files, err := posix.New(root, storer, options)
	if err != nil {
		return nil, err
	}
	return &storage{Posix: files, storer: storer, encryption: e, secure: s.tls}, nil
}

// announce says that the server answers, and how to talk to it.
func announce(s Settings, creds credentials, address, defaultKeyID string, out io.Writer) error {
	url := "http://" + address
	if s.tls {
		url = "https://" + address
	}
	if err := writeClientEnv(s, creds, url, defaultKeyID); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, usage+"ready %s\n", filepath.Join(s.Dir, "client.env"), url+adminPrefix, url)
	return err
}

const usage = `In another shell:

  . %s
  s3() { aws --endpoint-url "$AWS_ENDPOINT_URL" s3 "$@"; }    # from 2.13 on the AWS CLI finds the endpoint itself
  s3 mb s3://photos
  s3 cp cat.jpg s3://photos/                            # SSE-S3
  s3 cp cat.jpg s3://photos/ --sse aws:kms --sse-kms-key-id "$KMS_DEFAULT_KEY_ID"
  head -c 32 /dev/urandom > my.key
  s3 cp cat.jpg s3://photos/mine.jpg --sse-c AES256 --sse-c-key fileb://my.key
  s3 cp s3://photos/mine.jpg . --sse-c AES256 --sse-c-key fileb://my.key

The keys are administered at %s:

  curl --cacert "$AWS_CA_BUNDLE" -H "Authorization: Bearer $KMS_ADMIN_TOKEN" "$KMS_ADMIN_URL/kms/keys"

`
