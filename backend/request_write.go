package backend

import (
	"fmt"
	"strconv"
)

// write writes every field that is given, whether or not it fits the backend.
func (r *ConfigureRequest) write(w *writer, name string) error {
	w.open(name)
	w.textUnlessEmpty("backend_type", r.BackendType)
	r.writeLocal(w)
	if err := r.writeVault(w); err != nil {
		return err
	}
	r.writeOptions(w)
	if r.Former != nil {
		w.name("former")
		w.append("[")
		for i := range r.Former {
			w.first = i == 0
			if err := r.Former[i].write(w, ""); err != nil {
				return at(fmt.Sprintf("former[%d]", i), err)
			}
		}
		w.append("]")
	}
	w.close()
	return w.err
}

func (r *ConfigureRequest) writeLocal(w *writer) {
	w.text("key_dir", r.KeyDir)
	w.key("master_key", r.MasterKey)
	w.secret("passphrase", r.Passphrase)
	w.text("root_key_file", r.RootKeyFile)
	if r.FilePermissions != nil {
		w.textUnlessEmpty("file_permissions", "0"+strconv.FormatUint(uint64(*r.FilePermissions), 8))
	}
	w.bool("allow_unlocked_memory", r.AllowUnlockedMemory)
}

func (r *ConfigureRequest) writeVault(w *writer) error {
	w.text("address", r.Address)
	if r.AuthMethod != nil {
		if err := writeAuth(w, r.AuthMethod); err != nil {
			return err
		}
	}
	w.text("engine", r.Engine)
	w.text("namespace", r.Namespace)
	w.text("mount_path", r.MountPath)
	w.text("kv_mount", r.KVMount)
	w.text("key_path_prefix", r.KeyPathPrefix)
	w.text("ca_cert", r.CACert)
	w.text("client_cert", r.ClientCert)
	w.text("client_key", r.ClientKey)
	w.text("tls_server_name", r.TLSServerName)
	w.bool("skip_tls_verify", r.SkipTLSVerify)
	w.bool("allow_insecure", r.AllowInsecure)
	w.int("max_concurrent", r.MaxConcurrent)
	return nil
}

func (r *ConfigureRequest) writeOptions(w *writer) {
	w.text("default_key_id", r.DefaultKeyID)
	w.int("timeout_seconds", r.TimeoutSeconds)
	w.int("retry_attempts", r.RetryAttempts)
	w.bool("enable_cache", r.EnableCache)
	w.int("max_cached_keys", r.MaxCachedKeys)
	w.int("cache_ttl_seconds", r.CacheTTLSeconds)
	w.bool("allow_immediate_deletion", r.AllowImmediateDeletion)
	w.bool("decrypt_with_disabled_keys", r.DecryptWithDisabledKeys)
}
