package admin

// Operation is the name of what a call does. It is empty for requests that no route is for.
type Operation string

// The operations. Those on keys have the names of the methods of a KeyService.
const (
	Configure            Operation = "Configure"
	Reconfigure          Operation = "Reconfigure"
	Start                Operation = "Start"
	Stop                 Operation = "Stop"
	Status               Operation = "Status"
	ShowConfig           Operation = "ShowConfig"
	ClearCache           Operation = "ClearCache"
	CreateKey            Operation = "CreateKey"
	ListKeys             Operation = "ListKeys"
	DescribeKey          Operation = "DescribeKey"
	DeleteKey            Operation = "DeleteKey"
	CancelKeyDeletion    Operation = "CancelKeyDeletion"
	EnableKey            Operation = "EnableKey"
	DisableKey           Operation = "DisableKey"
	RotateKey            Operation = "RotateKey"
	ImportKey            Operation = "ImportKey"
	UpdateKeyDescription Operation = "UpdateKeyDescription"
	TagKey               Operation = "TagKey"
	UntagKey             Operation = "UntagKey"
	GenerateDataKey      Operation = "GenerateDataKey"
	RewrapDataKeys       Operation = "RewrapDataKeys"
	ShowOpenAPI          Operation = "ShowOpenAPI"
)

// The largest bodies in bytes.
const (
	noBody     = 0
	keyBody    = 64 << 10
	configBody = 1 << 20
	rewrapBody = 8 << 20
)

// A route is one method of one path.
type route struct {
	method, path string
	operation    Operation
	most         int // bytes of the body
	// parse reads the request and says what is to be done. It does nothing yet.
	parse func(c *call) (job, error)
}

func routes() []route {
	return []route{
		{"POST", "/kms/configure", Configure, configBody, (*call).configure},
		{"POST", "/kms/reconfigure", Reconfigure, configBody, (*call).reconfigure},
		{"POST", "/kms/start", Start, keyBody, (*call).startService},
		{"POST", "/kms/stop", Stop, keyBody, (*call).stopService},
		{"GET", "/kms/status", Status, noBody, (*call).status},
		{"GET", "/kms/service-status", Status, noBody, (*call).status},
		{"GET", "/kms/config", ShowConfig, noBody, (*call).showConfig},
		{"POST", "/kms/clear-cache", ClearCache, keyBody, (*call).clearCache},
		{"GET", "/kms/openapi.json", ShowOpenAPI, noBody, (*call).showOpenAPI},

		{"POST", "/kms/keys", CreateKey, keyBody, (*call).createKey},
		{"GET", "/kms/keys", ListKeys, noBody, (*call).listKeys},
		{"GET", "/kms/keys/{key_id}", DescribeKey, noBody, (*call).describeKey},
		{"DELETE", "/kms/keys/delete", DeleteKey, keyBody, (*call).deleteKey},
		{"POST", "/kms/keys/cancel-deletion", CancelKeyDeletion, keyBody, (*call).cancelKeyDeletion},
		{"POST", "/kms/keys/enable", EnableKey, keyBody, (*call).enableKey},
		{"POST", "/kms/keys/disable", DisableKey, keyBody, (*call).disableKey},
		{"POST", "/kms/keys/rotate", RotateKey, keyBody, (*call).rotateKey},
		{"POST", "/kms/keys/import", ImportKey, keyBody, (*call).importKey},
		{"POST", "/kms/keys/update-description", UpdateKeyDescription, keyBody, (*call).updateKeyDescription},
		{"POST", "/kms/keys/tag", TagKey, keyBody, (*call).tagKey},
		{"POST", "/kms/keys/untag", UntagKey, keyBody, (*call).untagKey},

		{"POST", "/kms/generate-data-key", GenerateDataKey, keyBody, (*call).generateDataKey},
		{"POST", "/kms/rewrap", RewrapDataKeys, rewrapBody, (*call).rewrapDataKeys},
	}
}
