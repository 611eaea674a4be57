module github.com/objectkms/kms

go 1.26.0

require (
	github.com/awnumar/memcall v0.4.0
	github.com/awnumar/memguard v0.23.0
	github.com/stretchr/testify v1.12.1
	go.uber.org/goleak v1.3.0
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.49.0
	pgregory.net/rapid v1.3.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
