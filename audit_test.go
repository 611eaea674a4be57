package kms_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/local"
	"github.com/objectkms/kms/mock"
)

// records is a sink that keeps what it gets.
type records struct {
	mu  sync.Mutex
	all []kms.AuditRecord
}

func (r *records) Audit(_ context.Context, record kms.AuditRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, record)
}

// last returns the record that was written last.
func (r *records) last(t *testing.T) kms.AuditRecord {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.NotEmpty(t, r.all)
	return r.all[len(r.all)-1]
}

func auditKey(fill string) *kms.Secret { return kms.NewSecret([]byte(strings.Repeat(fill, 32))) }

func TestEveryOperationIsAudited(t *testing.T) {
	sink := &records{}
	m, _ := newManager(t, kms.Options{Audit: kms.AuditOptions{Sink: sink}})
	require.Equal(t, "CreateKey", sink.last(t).Op)
	ctx := kms.WithRequestID(kms.WithPrincipal(t.Context(), "anna"), "req-1")
	ec := kms.EncryptionContext{"album": "summer"}

	made, err := m.GenerateDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "k", Context: ec})
	require.NoError(t, err)
	got := sink.last(t)
	require.Equal(t, "anna", got.Principal)
	require.Equal(t, "req-1", got.RequestID)
	require.Equal(t, "GenerateDataKey", got.Op)
	require.Equal(t, "k", got.KeyID)
	require.Equal(t, "mock", got.Backend)
	require.Equal(t, 1, got.Attempts)
	require.False(t, got.Time.IsZero())
	require.Len(t, got.Context, 1)

	for _, hit := range []bool{false, true} {
		_, err = m.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: made.Ciphertext, Context: ec})
		require.NoError(t, err)
		require.Equal(t, hit, sink.last(t).CacheHit)
		require.Equal(t, got.Context, sink.last(t).Context, "equal values can be found again")
	}
	_, err = m.AuthorizeDataKey(ctx, &kms.GenerateDataKeyRequest{KeyID: "k", Context: ec})
	require.NoError(t, err)
	require.Equal(t, got.Context, sink.last(t).Context)
	_, err = m.Encrypt(ctx, &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("x"), Context: ec})
	require.NoError(t, err)
	require.Equal(t, got.Context, sink.last(t).Context)

	_, err = m.Decrypt(ctx, &kms.DecryptRequest{Ciphertext: made.Ciphertext, Context: kms.EncryptionContext{"album": "winter"}})
	require.ErrorIs(t, err, kms.ErrDecrypt)
	require.ErrorIs(t, sink.last(t).Err, kms.ErrDecrypt)
	require.Equal(t, kms.KindCrypto, sink.last(t).Kind)
	require.NotEqual(t, got.Context, sink.last(t).Context)

	require.NoError(t, m.Close())
	before := len(sink.all)
	_, err = m.Encrypt(ctx, &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("x"), Context: ec})
	require.ErrorIs(t, err, kms.ErrClosed)
	require.Len(t, sink.all, before+1, "refusals are audited too")
	require.Equal(t, got.Context, sink.last(t).Context, "under the same key")
}

func TestARecordSaysHowLongItTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &records{}
		m, b := newManager(t, kms.Options{Audit: kms.AuditOptions{Sink: sink}})
		b.Delay("DescribeKey", time.Second)
		_, err := m.DescribeKey(t.Context(), &kms.DescribeKeyRequest{KeyID: "k"})
		require.NoError(t, err)
		require.Equal(t, time.Second, sink.last(t).Duration)
		require.Equal(t, time.Now(), sink.last(t).Time)
	})
}

func TestWhoIsNotSaidIsEmpty(t *testing.T) {
	require.Empty(t, kms.PrincipalOf(t.Context()))
	require.Empty(t, kms.RequestIDOf(t.Context()))
	ctx := kms.WithPrincipal(t.Context(), "anna")
	require.Equal(t, "anna", kms.PrincipalOf(ctx))
	require.Empty(t, kms.RequestIDOf(ctx))
}

// hashes returns what a Manager with this audit key makes of a context.
func hashes(t *testing.T, key *kms.Secret, ec kms.EncryptionContext) map[string]string {
	t.Helper()
	sink := &records{}
	m, _ := newManager(t, kms.Options{Audit: kms.AuditOptions{Sink: sink, Key: key}})
	_, err := m.Encrypt(t.Context(), &kms.EncryptRequest{KeyID: "k", Plaintext: []byte("x"), Context: ec})
	require.NoError(t, err)
	return sink.last(t).Context
}

func TestContextValuesAreHashedUnderTheAuditKey(t *testing.T) {
	ec := kms.EncryptionContext{"a": "same", "b": "same", "c": "other"}
	one := hashes(t, auditKey("1"), ec)
	require.Len(t, one, 3)
	require.Len(t, one["a"], 64)
	require.NotEqual(t, one["a"], one["b"], "equal values of two names do not show")
	require.NotEqual(t, one["b"], one["c"])
	require.Equal(t, one, hashes(t, auditKey("1"), ec), "another Manager with the key, another node")
	require.NotEqual(t, one["a"], hashes(t, auditKey("2"), ec)["a"])
	require.NotEqual(t, hashes(t, nil, ec)["a"], hashes(t, nil, ec)["a"], "without one each draws its own")
	require.Nil(t, hashes(t, nil, nil))

	mac := hmac.New(sha256.New, []byte(strings.Repeat("1", 32)))
	io.WriteString(mac, "objectkms/v1/audit\x00\x00\x00\x00\x01a\x00\x00\x00\x04same")
	require.Equal(t, hex.EncodeToString(mac.Sum(nil)), one["a"])
	require.Equal(t, one, kms.AuditOptions{Key: auditKey("1")}.HashContext(ec), "an auditor looks for a value")
	require.Nil(t, kms.AuditOptions{}.HashContext(ec))
}

func TestAShortAuditKeyIsRefused(t *testing.T) {
	cfg := kms.Config{Backend: mock.New(), Options: kms.Options{Audit: kms.AuditOptions{Sink: &records{}}}}
	require.NoError(t, cfg.Validate())
	cfg.Audit.Key = auditKey("k")
	require.NoError(t, cfg.Validate())
	for _, short := range []string{"", "k"} {
		cfg.Audit.Key = kms.NewSecret([]byte(strings.Repeat(short, 31)))
		require.ErrorIs(t, cfg.Validate(), kms.ErrInvalidConfig)
	}
	require.NotEqual(t, hashes(t, cfg.Audit.Key, kms.EncryptionContext{"a": "b"}), hashes(t, cfg.Audit.Key, kms.EncryptionContext{"a": "b"}),
		"where nobody validates, one is drawn")
}

func TestTheLifeOfAServiceIsAudited(t *testing.T) {
	sink := &records{}
	b := mock.New()
	service := &kms.ServiceManager{Hooks: kms.Hooks{Audit: kms.AuditOptions{Sink: sink}}}
	ctx := kms.WithPrincipal(t.Context(), "operator")
	require.Error(t, service.HealthCheck(ctx))
	require.NoError(t, service.Configure(kms.Config{Backend: b}))
	require.NoError(t, service.Start(ctx))
	require.NoError(t, service.HealthCheck(ctx))
	require.NoError(t, service.Restart(ctx))
	b.FailNext("Open", errDown)
	require.Error(t, service.Reconfigure(ctx, kms.Config{Backend: b}))
	require.NoError(t, service.Stop(ctx))
	var got []string
	for _, r := range sink.all {
		line := r.Op + " " + r.Principal
		if r.Err != nil {
			line += " failed"
		}
		got = append(got, line)
	}
	require.Equal(t, []string{
		"HealthCheck operator failed", "Configure ", "Start operator", "HealthCheck operator", "Restart operator",
		"Reconfigure operator failed", "Stop operator",
	}, got)
}

func TestAuditRecordsAsJSONLines(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	m := kms.NewManager(mock.New(), kms.Options{Audit: kms.AuditOptions{Sink: kms.AuditTo(logger), Key: auditKey("k")}})
	defer m.Close()
	ctx := kms.WithRequestID(kms.WithPrincipal(t.Context(), "anna"), "req-1")
	_, err := m.Encrypt(ctx, &kms.EncryptRequest{KeyID: "none", Plaintext: []byte("hunter2"), Context: kms.EncryptionContext{"album": "hunter2"}})
	require.Error(t, err)
	require.NotContains(t, out.String(), "hunter2")
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "anna", line["principal"])
	require.Equal(t, "req-1", line["request_id"])
	require.Equal(t, "Encrypt", line["op"])
	require.Equal(t, "none", line["key_id"])
	require.Equal(t, "Request", line["kind"])
	require.Equal(t, `kms: Encrypt "none": key not found: none`, line["error"])
	require.Len(t, line["context"].(map[string]any)["album"], 64)
}

func TestLogsShowNoSecret(t *testing.T) {
	const hidden = "hunter2hunter2hunter2hunter2hunt"
	secret := kms.NewSecret([]byte(hidden))
	ec := kms.EncryptionContext{"album": hidden}
	cfg := kms.Config{
		Backend: local.Config{Dir: "/keys", RootKey: secret},
		Former:  []kms.BackendConfig{mock.New()},
		Options: kms.Options{DefaultKeyID: "k", Audit: kms.AuditOptions{Key: secret}},
	}
	tests := []struct {
		name  string
		value any
		shows []string
	}{
		{"a context", ec, []string{"album"}},
		{"EncryptRequest", kms.EncryptRequest{KeyID: "k", Plaintext: []byte(hidden), Context: ec}, []string{"k", "album", "plaintext_bytes"}},
		{"a pointer to one", &kms.EncryptRequest{KeyID: "k", Plaintext: []byte(hidden), Context: ec}, []string{"k", "album", "plaintext_bytes"}},
		{"GenerateDataKeyRequest", &kms.GenerateDataKeyRequest{KeyID: "k", Spec: kms.AES128, Context: ec}, []string{"k", "AES_128", "album"}},
		{"DecryptRequest", &kms.DecryptRequest{KeyID: "k", Ciphertext: []byte(hidden), Context: ec}, []string{"k", "album", "ciphertext_bytes"}},
		{"RewrapDataKeysRequest", &kms.RewrapDataKeysRequest{KeyID: "k", Items: []kms.RewrapItem{{Ciphertext: []byte(hidden), From: ec, To: ec}}}, []string{"k", "items"}},
		{"RewrapItem", kms.RewrapItem{Ciphertext: []byte(hidden), From: ec, To: ec}, []string{"album", "ciphertext_bytes"}},
		{"Config", cfg, []string{"local", "/keys", "root", "mock", "k", cfg.Fingerprint()}},
		{"an empty Config", kms.Config{}, []string{"none"}},
		{"Operation", kms.Operation{Op: "Decrypt", KeyID: "k", Kind: kms.KindCrypto, Err: kms.ErrDecrypt}, []string{"Decrypt", "k", "Crypto", "decryption failed"}},
		{"ServiceStatus", kms.ServiceStatus{State: kms.ServiceRunning, Generation: 7, BackendType: "local", Fingerprint: "f00", Err: errDown},
			[]string{"Running", "7", "local", "f00", "down"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var text, lines bytes.Buffer
			slog.New(slog.NewTextHandler(&text, nil)).Info("x", "v", tt.value)
			slog.New(slog.NewJSONHandler(&lines, nil)).Info("x", "v", tt.value)
			for _, out := range []string{text.String(), lines.String()} {
				require.NotContains(t, out, hidden)
				require.NotContains(t, out, "104 117 110 116", "nor as bytes")
				for _, want := range tt.shows {
					require.Contains(t, out, want)
				}
			}
		})
	}
}

func ExampleAuditTo() {
	// In a server: slog.NewJSONHandler(file, nil), and a Key that every node has.
	var out bytes.Buffer
	keys := kms.NewManager(mock.New(), kms.Options{Audit: kms.AuditOptions{Sink: kms.AuditTo(slog.New(slog.NewTextHandler(&out, nil)))}})
	defer keys.Close()
	ctx := kms.WithPrincipal(context.Background(), "anna")
	if _, err := keys.CreateKey(ctx, &kms.CreateKeyRequest{KeyID: "photos"}); err != nil {
		panic(err)
	}
	_, line, _ := strings.Cut(out.String(), "principal=")
	line, _, _ = strings.Cut(line, " duration")
	fmt.Println(line)
	// Output: anna op=CreateKey backend=mock key_id=photos
}
