package main

import (
	"fmt"

	"github.com/hashicorp/go-hclog"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/audit"
	auditfile "github.com/hashicorp/vault/builtin/audit/file"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/credential/userpass"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/physical/raft"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"

	"github.com/objectkms/kms/e2e/vaultd/options"
)

// newCore makes Vault's core over the storage that was asked for. url is where its API listens.
func newCore(opts options.Options, url string, logger hclog.Logger) (*vault.Core, error) {
	storage, err := newStorage(opts, logger)
	if err != nil {
		return nil, err
	}
	config := &vault.CoreConfig{
		Physical:     storage,
		StorageType:  opts.Storage,
		Logger:       logger,
		RedirectAddr: url,
		DisableMlock: true,
		// A node votes as soon as it has joined, and not after ten seconds of good behaviour.
		DisableAutopilot: true,
		BuiltinRegistry:  noPlugins{},
		LogicalBackends: map[string]logical.Factory{
			"kv":      kv.Factory,
			"transit": transit.Factory,
		},
		CredentialBackends: map[string]logical.Factory{
			"approle":    approle.Factory,
			"cert":       cert.Factory,
			"kubernetes": kubernetes.Factory,
			"userpass":   userpass.Factory,
		},
		AuditBackends: map[string]audit.Factory{"file": auditfile.Factory},
	}
	if cluster, ok := storage.(physical.HABackend); ok && opts.Storage == options.Raft {
		config.HAPhysical = cluster
		config.ClusterAddr = "https://" + opts.Cluster
	}
	core, err := vault.NewCore(config)
	if err != nil && vault.IsFatalError(err) {
		return nil, err
	}
	if err != nil {
		logger.Warn("the core has a complaint", "error", err)
	}
	return core, nil
}

func newStorage(opts options.Options, logger hclog.Logger) (physical.Backend, error) {
	switch opts.Storage {
	case options.InMemory:
		return inmem.NewInmem(nil, logger)
	case options.File:
		return file.NewFileBackend(map[string]string{"path": opts.Path}, logger)
	case options.Raft:
		// The multiplier is the one for production: a new leader is there in seconds, not in ten.
		return raft.NewRaftBackend(map[string]string{"path": opts.Path, "node_id": opts.Node, "performance_multiplier": "1"}, logger)
	}
	return nil, fmt.Errorf("unknown storage %q", opts.Storage)
}

// noPlugins is an empty registry of plug-ins: all that the server has is in its core's configuration.
type noPlugins struct{}

func (noPlugins) Contains(string, consts.PluginType) bool { return false }

func (noPlugins) Get(string, consts.PluginType) (func() (any, error), bool) { return nil, false }

func (noPlugins) Keys(consts.PluginType) []string { return nil }

func (noPlugins) DeprecationStatus(string, consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, true
}

func (noPlugins) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
