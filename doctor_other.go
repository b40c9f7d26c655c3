//go:build !linux

package agentos

import (
	"errors"
	"os"
	"path/filepath"
)

// attemptMain does nothing: there are no native programs to try things.
func attemptMain() {}

// attempts has modules try what they must not be able to do. If this process is killed
// meanwhile, what lies in the directory for temporary files stays there.
func (k *Kernel) attempts(d *Diagnosis) {
	d.add("native", false, false, errNoNative.Error(), "")
	dir, err := os.MkdirTemp("", "agentos-doctor-")
	if err != nil {
		d.add("attempts", false, true, err.Error(), "")
		return
	}
	secret, shown := filepath.Join(dir, "secret"), filepath.Join(dir, "shown")
	err = errors.Join(
		os.WriteFile(secret, []byte("secret"), 0o600), os.Mkdir(shown, 0o700), os.WriteFile(filepath.Join(shown, "plain"), []byte("plain"), 0o600),
		os.Symlink(secret, filepath.Join(shown, "way-out")), os.Symlink("../secret", filepath.Join(shown, "way-up")))
	if err == nil {
		k.wasmAttempts(d, secret, shown)
	}
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		d.add("attempts", false, true, err.Error(), "")
	}
}
