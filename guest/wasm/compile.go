package wasm

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"crypto/sha256"

	"github.com/agentos-kernel/agentos/guest"
)

// maxLoad is the longest that loading compiled code may take, measured in the
// child: what is loaded is decoded and validated in the kernel's own process,
// which nothing can interrupt.
const maxLoad = 5 * time.Second

// fill checks, rewrites, and compiles image into dir. It runs in the child.
func fill(ctx context.Context, dir string, image []byte, l Limits) error {
	module, f, err := prepare(image, l)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, moduleFile), module, 0o600); err != nil {
		return hostFailed(err)
	}
	if err := compileInto(ctx, dir, module, l, false); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var pe *fs.PathError
		if errors.As(err, &pe) {
			return hostFailed(err)
		}
		return &guest.LoadError{Kind: guest.NotRunnable, Reason: "invalid WebAssembly", Err: err}
	}
	began := time.Now()
	if err := compileInto(ctx, dir, module, l, true); err != nil {
		return hostFailed(err)
	}
	m := meta{Version: metaVersion, Platform: platform(), Files: make(map[string]string), LoadNS: time.Since(began).Nanoseconds(), Facts: f}
	if m.LoadNS > int64(maxLoad) {
		return &guest.LoadError{Kind: guest.TooCostly, Reason: fmt.Sprintf("the compiled module takes %s to load", time.Duration(m.LoadNS).Round(time.Millisecond))}
	}
	if err := digestAll(dir, m.Files); err != nil {
		return hostFailed(err)
	}
	raw, err := json.Marshal(&m)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, metaFile), raw, 0o600)
	}
	if err != nil {
		return hostFailed(err)
	}
	return nil
}

func hostFailed(err error) error {
	return &guest.LoadError{Kind: guest.HostFailed, Reason: "compiled code could not be written", Err: err}
}

// compileInto compiles module with its code cached in dir, or with lookup only
// loads it from there.
func compileInto(ctx context.Context, dir string, module []byte, l Limits, lookup bool) error {
	r, c, cache, err := engine(ctx, dir, module, l, lookup)
	if err != nil {
		return err
	}
	return errors.Join(c.Close(ctx), r.Close(ctx), cache.Close(ctx))
}

// digestAll records the digest of every file beneath dir.
func digestAll(dir string, files map[string]string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(raw)
		files[filepath.ToSlash(name)] = hex.EncodeToString(sum[:])
		return nil
	})
}
