package encryption_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/objectkms/kms"
	"github.com/objectkms/kms/encryption"
)

// Documents of both parsers, with marks at the places where something may be inserted.
const (
	bucketDocument = `{before}<ServerSideEncryptionConfiguration{attribute}>{between}<Rule{attribute in}>{between in}<ApplyServerSideEncryptionByDefault>` +
		`{between deep}<SSEAlgorithm{attribute deep}>AES256{in text}</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>{behind}`
	objectDocument = `{before}<ObjectEncryption{attribute}>{between}<SSE-KMS{attribute in}>{between in}<KMSKeyArn{attribute deep}>id{in text}</KMSKeyArn>` +
		`{between deep}</SSE-KMS></ObjectEncryption>{behind}`
)

// with returns a document with something inserted at one of its marks.
func with(document, place, inserted string) string {
	for _, mark := range []string{"before", "attribute", "between", "attribute in", "between in", "between deep", "attribute deep", "in text", "behind"} {
		if mark == place {
			document = strings.ReplaceAll(document, "{"+mark+"}", inserted)
		}
		document = strings.ReplaceAll(document, "{"+mark+"}", "")
	}
	return document
}

// What a reader of XML passes over is refused, so that nobody reads in a document what the server did not.
func TestDocumentsHaveNothingBesideWhatIsRead(t *testing.T) {
	const xsi = ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`
	const s3 = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`
	tests := []struct {
		name, place, refused, accepted string
	}{
		{"text", "before", "x", "\r\n\t "},
		{"a space of Unicode", "before", "\u00a0", " "},
		{"text of an entity", "before", "&lt;", "<!-- &lt; -->"},
		{"a CDATA section", "before", "<![CDATA[x]]>", "<!-- x -->"},
		{"a byte order mark", "before", " \ufeff", "\ufeff"},
		{"text", "between", "x", "\n  "},
		{"text", "between in", "false", " <!-- false --> "},
		{"text", "between deep", "aws:kms", "\n"},
		{"a CDATA section", "between in", "<![CDATA[x]]>", "<!-- x -->"},
		{"a space of Unicode", "between", "\u0085", " "},
		{"text", "behind", "x", "\n"},
		{"an element", "behind", "<a/>", "<!-- <a/> -->"},
		{"an attribute", "attribute", ` a="b"`, s3},
		{"an attribute", "attribute in", ` a="b"`, s3},
		{"an attribute", "attribute deep", ` Enabled="false"`, s3},
		{"an attribute of XML", "attribute", ` xml:space="preserve"`, xsi + ` xsi:type="a"`},
		{"an attribute of a namespace", "attribute", ` xmlns:b="urn:b" b:type="a"`, ` xmlns:b="urn:b"`},
		{"an attribute of no namespace", "attribute in", ` xsi:type="a"`, xsi + ` xsi:type="a"`},
		{"an attribute like a declaration", "attribute", xsi + ` xsi:xmlns="a" type="a"`, xsi + ` xsi:nil="false"`},
		{"an attribute of a namespace like a declaration", "attribute in", ` xmlns:b="xmlns" b:type="a"`, ` xmlns:xsd="http://www.w3.org/2001/XMLSchema"`},
		{"an attribute twice", "attribute deep", s3 + s3, s3},
		{"a namespace twice", "attribute", ` xmlns="urn:b"` + s3, xsi + s3},
		{"another namespace", "attribute", ` xmlns="urn:b"`, s3},
		{"a DOCTYPE", "before", "<!DOCTYPE a>", "<!-- DOCTYPE a -->"},
		{"a DOCTYPE with entities", "before", `<!DOCTYPE a [<!ENTITY b "c">]>`, `<!-- ENTITY -->`},
		{"a DOCTYPE behind the declaration", "before", `<?xml version="1.0"?><!DOCTYPE a>`, `<?xml version="1.0"?>`},
		{"a directive", "between in", "<!ELEMENT a>", "<!--ELEMENT a-->"},
		{"a directive", "in text", "<!ELEMENT a>", "<!--ELEMENT a-->"},
		{"a DOCTYPE", "behind", "<!DOCTYPE a>", "<!-- DOCTYPE a -->"},
		{"two declarations", "before", `<?xml version="1.0"?><?xml version="1.0"?>`, `<?xml version="1.0"?>`},
		{"a declaration behind space", "before", ` <?xml version="1.0"?>`, `<?xml version="1.0"?> `},
		{"a declaration behind a comment", "before", `<!-- a --><?xml version="1.0"?>`, `<?xml version="1.0"?><!-- a -->`},
		{"a declaration", "between", `<?xml version="1.0"?>`, ""},
		{"a declaration", "behind", `<?xml version="1.0"?>`, ""},
		{"another version", "before", `<?xml version="1.1"?>`, `<?xml version="1.0" encoding="utf-8" standalone="yes"?>`},
		{"an instruction", "before", `<?a b?>`, `<!-- a b -->`},
		{"an instruction behind the declaration", "before", `<?xml version="1.0"?><?xml-stylesheet href="a"?>`, "\ufeff" + `<?xml version="1.0"?>`},
		{"an instruction", "between in", `<?a b?>`, `<!-- a b -->`},
		{"an instruction", "in text", `<?a b?>`, `<!-- a b -->`},
		{"an unknown element", "between deep", "<a/>", "<!-- <a/> -->"},
		{"an unknown entity", "in text", "&a;", ""},
	}
	want := encryption.Error{Code: "MalformedXML", Status: 400, Err: kms.ErrInvalidRequest,
		Message: "The XML you provided was not well-formed or did not validate against our published schema"}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.place, func(t *testing.T) {
			_, err := encryption.ParseBucketEncryption([]byte(with(bucketDocument, tt.place, tt.refused)))
			requireAnswer(t, want, err)
			_, err = encryption.ParseObjectEncryption([]byte(with(objectDocument, tt.place, tt.refused)))
			requireAnswer(t, want, err)

			d, err := encryption.ParseBucketEncryption([]byte(with(bucketDocument, tt.place, tt.accepted)))
			require.NoError(t, err)
			require.Equal(t, encryption.BucketDefault{Mode: encryption.SSES3}, d)
			req, err := encryption.ParseObjectEncryption([]byte(with(objectDocument, tt.place, tt.accepted)))
			require.NoError(t, err)
			require.Equal(t, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "id"}, req)
		})
	}
}

// Text has no place between the elements of any element that has some.
func TestTextBetweenElementsIsRefused(t *testing.T) {
	list := configuration(rule(byDefault(awsKMS, keyElement), bucketKeyOn, blocked("NONE")))
	_, err := encryption.ParseBucketEncryption([]byte(list))
	require.NoError(t, err)
	for _, name := range []string{"ServerSideEncryptionConfiguration", "Rule", "ApplyServerSideEncryptionByDefault", "BlockedEncryptionTypes"} {
		_, err := encryption.ParseBucketEncryption([]byte(strings.ReplaceAll(list, "</"+name+">", "x</"+name+">")))
		require.ErrorContains(t, err, "text between the elements of its "+name+", want none")
	}
	object := update(arnElement, bucketKeyOn)
	_, err = encryption.ParseObjectEncryption([]byte(object))
	require.NoError(t, err)
	for _, name := range []string{"ObjectEncryption", "SSE-KMS"} {
		_, err := encryption.ParseObjectEncryption([]byte(strings.ReplaceAll(object, "</"+name+">", "x</"+name+">")))
		require.ErrorContains(t, err, "text between the elements of its "+name+", want none")
	}
}

// The forms in which clients send the same document: in one line with the namespace, with a declaration and without a namespace, and as people write it by hand.
func TestDocumentsOfClients(t *testing.T) {
	const rule = "<Rule><ApplyServerSideEncryptionByDefault><KMSMasterKeyID>id</KMSMasterKeyID><SSEAlgorithm>aws:kms</SSEAlgorithm>" +
		"</ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule>"
	const key = "<SSE-KMS><KMSKeyArn>id</KMSKeyArn><BucketKeyEnabled>true</BucketKeyEnabled></SSE-KMS>"
	for name, form := range map[string]func(element, inside string) string{
		"aws-sdk-go-v2, boto3": func(element, inside string) string {
			return `<` + element + ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + inside + `</` + element + `>`
		},
		"minio-go": func(element, inside string) string { return `<` + element + `>` + inside + `</` + element + `>` },
		"aws-sdk-java": func(element, inside string) string {
			return `<?xml version="1.0" encoding="UTF-8"?><` + element + ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + inside + `</` + element + `>`
		},
		"a file": func(element, inside string) string {
			return "\ufeff<?xml version='1.0' encoding='utf-8' ?>\r\n<!-- ours -->\r\n<" + element + " xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'\r\n\t" +
				"xsi:schemaLocation='a b' xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>\r\n\t" + strings.ReplaceAll(inside, "><", ">\r\n\t<") + "\r\n</" + element + ">\r\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := encryption.ParseBucketEncryption([]byte(form("ServerSideEncryptionConfiguration", rule)))
			require.NoError(t, err)
			require.Equal(t, encryption.BucketDefault{Mode: encryption.SSEKMS, KeyID: "id", BucketKey: true}, d)
			req, err := encryption.ParseObjectEncryption([]byte(form("ObjectEncryption", key)))
			require.NoError(t, err)
			require.Equal(t, &encryption.Request{Mode: encryption.SSEKMS, KeyID: "id", BucketKey: true}, req)
		})
	}
}
