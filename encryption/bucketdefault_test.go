package encryption_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// configuration returns a document with these rules.
func configuration(rules ...string) string {
	return `<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + strings.Join(rules, "\n") + `</ServerSideEncryptionConfiguration>`
}

func rule(elements ...string) string { return "<Rule>" + strings.Join(elements, "\n ") + "</Rule>" }

func byDefault(elements ...string) string {
	return "<ApplyServerSideEncryptionByDefault>" + strings.Join(elements, "") + "</ApplyServerSideEncryptionByDefault>"
}

func blocked(types ...string) string {
	return "<BlockedEncryptionTypes><EncryptionType>" + strings.Join(types, "</EncryptionType><EncryptionType>") + "</EncryptionType></BlockedEncryptionTypes>"
}

const (
	aes256       = "<SSEAlgorithm>AES256</SSEAlgorithm>"
	awsKMS       = "<SSEAlgorithm>aws:kms</SSEAlgorithm>"
	keyElement   = "<KMSMasterKeyID>arn:aws:kms:r:a:key/id</KMSMasterKeyID>"
	bucketKeyOn  = "<BucketKeyEnabled>true</BucketKeyEnabled>"
	bucketKeyOff = "<BucketKeyEnabled>false</BucketKeyEnabled>"
)

func TestBucketEncryption(t *testing.T) {
	s3 := encryption.BucketDefault{Mode: encryption.SSES3}
	tests := []struct {
		name, document string
		want           encryption.BucketDefault
	}{
		{"SSE-S3", configuration(rule(byDefault(aes256))), s3},
		{"without namespace", "<ServerSideEncryptionConfiguration>" + rule(byDefault(aes256)) + "</ServerSideEncryptionConfiguration>", s3},
		{"declaration and comments", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- a -->" + configuration("<!-- b -->", rule(byDefault(aes256))) + "\n<!-- c -->\n", s3},
		{"prefix", `<s:ServerSideEncryptionConfiguration xmlns:s="http://s3.amazonaws.com/doc/2006-03-01/"><s:Rule/></s:ServerSideEncryptionConfiguration>`, s3},
		{"empty key id", configuration(rule(byDefault(aes256, "<KMSMasterKeyID/>"))), s3},
		{"SSE-S3 with bucket key", configuration(rule(byDefault(aes256), bucketKeyOn)), encryption.BucketDefault{Mode: encryption.SSES3, BucketKey: true}},
		{"SSE-KMS", configuration(rule(byDefault(awsKMS))), encryption.BucketDefault{Mode: encryption.SSEKMS}},
		{"SSE-KMS with key id", configuration(rule(bucketKeyOff, byDefault(keyElement, awsKMS))), encryption.BucketDefault{Mode: encryption.SSEKMS, KeyID: "arn:aws:kms:r:a:key/id"}},
		{"all", configuration(rule(byDefault(awsKMS, keyElement), "<BucketKeyEnabled>TRUE</BucketKeyEnabled>", blocked("SSE-C"))),
			encryption.BucketDefault{Mode: encryption.SSEKMS, KeyID: "arn:aws:kms:r:a:key/id", BucketKey: true, CustomerKeys: encryption.CustomerKeysBlocked}},
		{"SSE-C allowed", configuration(rule(blocked("NONE"))), encryption.BucketDefault{Mode: encryption.SSES3, CustomerKeys: encryption.CustomerKeysAllowed}},
		{"SSE-C blocked", configuration(rule(blocked("SSE-C"))), encryption.BucketDefault{Mode: encryption.SSES3, CustomerKeys: encryption.CustomerKeysBlocked}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := encryption.ParseBucketEncryption([]byte(tt.document))
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestMalformedBucketEncryption(t *testing.T) {
	want := encryption.Error{Code: "MalformedXML", Status: 400, Err: kms.ErrInvalidRequest,
		Message: "The XML you provided was not well-formed or did not validate against our published schema"}
	right := rule(byDefault(aes256))
	for name, document := range map[string]string{
		"empty":                        "",
		"no XML":                       "{}",
		"no rule":                      configuration(),
		"two rules":                    configuration(right, right),
		"another element":              strings.ReplaceAll(configuration(right), "ServerSideEncryptionConfiguration", "LifecycleConfiguration"),
		"another namespace":            strings.ReplaceAll(configuration(right), "s3.amazonaws.com", "example.com"),
		"cut":                          strings.TrimSuffix(configuration(right), ">"),
		"text behind":                  configuration(right) + "x",
		"an element behind":            configuration(right) + "<a/>",
		"a directive behind":           configuration(right) + "<!DOCTYPE a>",
		"bad XML behind":               configuration(right) + "<",
		"an unknown element":           configuration(right, "<a/>"),
		"an unknown element in a rule": configuration(rule(byDefault(aes256), "<a/>")),
		"an unknown element deeper":    configuration(rule(byDefault(aes256, "<a/>"))),
		"an unknown element in a list": configuration(rule("<BlockedEncryptionTypes><EncryptionType>NONE</EncryptionType><a/></BlockedEncryptionTypes>")),
		"an unknown element, blocked":  configuration(rule("<BlockedEncryptionTypes><EncryptionType>SSE-C</EncryptionType><a/></BlockedEncryptionTypes>")),
		"an element in the algorithm":  configuration(rule(byDefault("<SSEAlgorithm>AES<a>x</a>256</SSEAlgorithm>"))),
		"an element in the key id":     configuration(rule(byDefault(awsKMS, "<KMSMasterKeyID>one<a>x</a></KMSMasterKeyID>"))),
		"an element in the bucket key": configuration(rule("<BucketKeyEnabled>true<a/></BucketKeyEnabled>")),
		"an element in a blocked type": configuration(rule(blocked("NO<a/>NE"))),
		"a rule of another namespace":  configuration(`<b:Rule xmlns:b="urn:b">` + byDefault(aes256) + "</b:Rule>"),
		"another namespace, deeper":    configuration(rule(`<BucketKeyEnabled xmlns="urn:b">true</BucketKeyEnabled>`)),
		"a prefix of no namespace":     configuration(rule(byDefault("<b:SSEAlgorithm>AES256</b:SSEAlgorithm>"))),
		"two defaults":                 configuration(rule(byDefault(aes256), byDefault(aes256))),
		"two bucket keys":              configuration(rule(bucketKeyOn, bucketKeyOn)),
		"two lists":                    configuration(rule(blocked("NONE"), blocked("NONE"))),
		"no algorithm":                 configuration(rule(byDefault())),
		"no algorithm but a key id":    configuration(rule(byDefault(keyElement))),
		"two algorithms":               configuration(rule(byDefault(aes256, aes256))),
		"two key ids":                  configuration(rule(byDefault(awsKMS, keyElement, keyElement))),
		"an unknown algorithm":         configuration(rule(byDefault("<SSEAlgorithm>aes256</SSEAlgorithm>"))),
		"aws:fsx":                      configuration(rule(byDefault("<SSEAlgorithm>aws:fsx</SSEAlgorithm>"))),
		"space around the algorithm":   configuration(rule(byDefault("<SSEAlgorithm> AES256 </SSEAlgorithm>"))),
		"bucket key 1":                 configuration(rule("<BucketKeyEnabled>1</BucketKeyEnabled>")),
		"empty bucket key":             configuration(rule("<BucketKeyEnabled/>")),
		"nothing blocked":              configuration(rule("<BlockedEncryptionTypes/>")),
		"another type blocked":         configuration(rule(blocked("SSE-S3"))),
		"both":                         configuration(rule(blocked("NONE", "SSE-C"))),
		"a key id that does not print": configuration(rule(byDefault(awsKMS, "<KMSMasterKeyID>a&#10;b</KMSMasterKeyID>"))),
		"a long key id":                configuration(rule(byDefault(awsKMS, "<KMSMasterKeyID>"+strings.Repeat("x", 2049)+"</KMSMasterKeyID>"))),
		"an entity":                    `<!DOCTYPE a [<!ENTITY b "AES256">]>` + configuration(rule(byDefault("<SSEAlgorithm>&b;</SSEAlgorithm>"))),
		"another encoding":             `<?xml version="1.0" encoding="UTF-16"?>` + configuration(right),
		"deep":                         strings.Repeat("<a>", 5000),
		"deep in a rule":               configuration("<Rule>" + strings.Repeat("<a>", 2500) + strings.Repeat("</a>", 2000)),
		"more than 16 KiB":             configuration(right) + strings.Repeat(" ", 16<<10),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := encryption.ParseBucketEncryption([]byte(document))
			require.Zero(t, got)
			requireAnswer(t, want, err)
		})
	}
	document := configuration(right)
	_, err := encryption.ParseBucketEncryption([]byte(document + strings.Repeat(" ", 16<<10-len(document))))
	require.NoError(t, err)
}

func TestBucketEncryptionThatIsNotOffered(t *testing.T) {
	_, err := encryption.ParseBucketEncryption([]byte(configuration(rule(byDefault(aes256, keyElement)))))
	requireAnswer(t, invalidArgument("a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
		"ApplyServerSideEncryptionByDefault", ""), err)
	_, err = encryption.ParseBucketEncryption([]byte(configuration(rule(byDefault("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>", keyElement)))))
	requireAnswer(t, encryption.Error{Code: "NotImplemented", Status: 501, Message: "A header you provided implies functionality that is not implemented.",
		Err: kms.ErrUnsupported}, err)
}

// A bucket that nothing was configured for answers SSE-S3, as AWS does.
func TestBucketEncryptionOfANewBucket(t *testing.T) {
	document, err := encryption.BucketDefault{}.AppendXML([]byte("before"))
	require.NoError(t, err)
	require.Equal(t, `before<?xml version="1.0" encoding="UTF-8"?>
<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm>`+
		`</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>`, string(document))
}

// roundTrip checks that a configuration is the same after it was written and read.
func roundTrip(t *testing.T, d encryption.BucketDefault) {
	t.Helper()
	document, err := d.AppendXML(nil)
	require.NoError(t, err)
	got, err := encryption.ParseBucketEncryption(document)
	require.NoError(t, err)
	if d.Mode == encryption.None {
		d.Mode = encryption.SSES3
	}
	require.Equal(t, d, got)
}

func TestBucketEncryptionRoundTrip(t *testing.T) {
	for _, bucketKey := range []bool{false, true} {
		for keys := range encryption.CustomerKeysBlocked + 1 {
			roundTrip(t, encryption.BucketDefault{BucketKey: bucketKey, CustomerKeys: keys})
			roundTrip(t, encryption.BucketDefault{Mode: encryption.SSES3, BucketKey: bucketKey, CustomerKeys: keys})
			roundTrip(t, encryption.BucketDefault{Mode: encryption.SSEKMS, BucketKey: bucketKey, CustomerKeys: keys})
			roundTrip(t, encryption.BucketDefault{Mode: encryption.SSEKMS, KeyID: `<a&"ü'>]]>`, BucketKey: bucketKey, CustomerKeys: keys})
		}
	}
}

func TestImpossibleBucketDefaultsAreNotWritten(t *testing.T) {
	for _, d := range []encryption.BucketDefault{
		{Mode: encryption.SSEC}, {Mode: 4}, {KeyID: "id"}, {Mode: encryption.SSES3, KeyID: "id"}, {Mode: encryption.SSEKMS, KeyID: "a\x00"},
		{Mode: encryption.SSEKMS, KeyID: "a\xff"}, {Mode: encryption.SSEKMS, KeyID: strings.Repeat("x", 2049)}, {CustomerKeys: 3},
	} {
		_, err := d.AppendXML(nil)
		require.ErrorIs(t, err, kms.ErrInvalidConfig)
		_, err = encryption.ParseWriteHeaders(headers(), trusted, d)
		require.Equal(t, 500, encryption.S3Error(err).Status)
	}
}

func FuzzParseBucketEncryption(f *testing.F) {
	for _, seed := range []string{
		"", "<a/>", configuration(), configuration(rule(byDefault(aes256))), configuration(rule(byDefault(awsKMS, keyElement), bucketKeyOn, blocked("SSE-C"))),
		configuration(rule(blocked("NONE"))), "<!DOCTYPE a>" + configuration(rule(byDefault(awsKMS))), configuration(rule(byDefault(aes256, keyElement))),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		d, err := encryption.ParseBucketEncryption(document)
		if err != nil {
			require.Zero(t, d)
			require.Contains(t, []string{"MalformedXML", "InvalidArgument", "NotImplemented"}, encryption.S3Error(err).Code)
			return
		}
		roundTrip(t, d)
	})
}
