package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/cpu"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/wasm/rewrite"
)

// cacheKey names the compiled form of one image for one engine on one kind of
// processor.
type cacheKey [sha256.Size]byte

func (k cacheKey) String() string { return hex.EncodeToString(k[:]) }

// keyOf digests everything that the compiled form depends on.
func keyOf(image []byte, l Limits) (key cacheKey) {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s\x00%d\x00%d\x00", platform(), l.MaxPages, l.MaxTable) // a digest never fails
	_, _ = h.Write(image)
	h.Sum(key[:0])
	return key
}

// platform identifies what compiles: a change of any of it makes other code.
var platform = sync.OnceValue(func() string {
	return fmt.Sprintf("agentos wasm %d, rewrite %s, wazero %s, %s/%s, %+v %+v", metaVersion, rewrite.Version, wazeroVersion(),
		runtime.GOOS, runtime.GOARCH, cpu.X86, cpu.ARM64)
})

func wazeroVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/tetratelabs/wazero" {
				return dep.Version
			}
		}
	}
	return "unknown"
}

// The files of an artifact. Beside them is wazero's own directory with the
// native code.
const (
	metaVersion = 1
	metaFile    = "meta.json"
	moduleFile  = "module.wasm"
)

// meta describes an artifact. The compiling child writes it last.
type meta struct {
	Version  int               `json:"version"`
	Platform string            `json:"platform"`
	Files    map[string]string `json:"files"` // relative path to SHA-256
	LoadNS   int64             `json:"load_ns"`
	Facts    *facts            `json:"facts"`
}

// artifact is a directory of verified code, with the module in memory.
type artifact struct {
	dir    string
	meta   meta
	module []byte
	size   uint64
	once   bool // the directory is to be removed after use
}

// maxMeta bounds meta.json.
const maxMeta = 1 << 20

// openArtifact reads dir and verifies the digest of every file in it. Files
// that meta does not know make it invalid, so that wazero never sees them.
func openArtifact(dir string, once bool) (_ *artifact, err error) {
	a := &artifact{dir: dir, once: once}
	defer func() {
		if err != nil {
			a.drop()
		}
	}()
	f, err := os.Open(filepath.Join(dir, metaFile))
	if err != nil {
		return nil, err
	}
	err = json.NewDecoder(io.LimitReader(f, maxMeta)).Decode(&a.meta)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", metaFile, err)
	}
	if a.meta.Version != metaVersion || a.meta.Platform != platform() || a.meta.Facts == nil {
		return nil, errors.New("compiled code of another version")
	}
	found := 0
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == metaFile {
			return err
		}
		want, ok := a.meta.Files[filepath.ToSlash(name)]
		if !ok {
			return fmt.Errorf("unexpected file %s in compiled code", name)
		}
		found++
		have, n, err := a.digest(name, path)
		if err != nil {
			return err
		}
		if have != want {
			return fmt.Errorf("compiled code is damaged: %s", name)
		}
		a.size += n
		return nil
	})
	if err != nil {
		return nil, err
	}
	if found != len(a.meta.Files) || a.module == nil {
		return nil, errors.New("compiled code is incomplete")
	}
	return a, nil
}

// digest returns the digest and size of one file and keeps the module.
func (a *artifact) digest(name, path string) (string, uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	w := io.Writer(h)
	var module bytes.Buffer
	if name == moduleFile {
		w = io.MultiWriter(h, &module)
	}
	n, err := io.Copy(w, f)
	if name == moduleFile {
		a.module = module.Bytes()
	}
	return hex.EncodeToString(h.Sum(nil)), uint64(n), errors.Join(err, f.Close())
}

// drop removes an artifact that is not kept, once its code is loaded.
func (a *artifact) drop() {
	if a.once {
		// What stays if this fails is private, harmless, and in the place for
		// temporary files.
		_ = os.RemoveAll(a.dir)
	}
}

// store keeps artifacts in a directory, by key. Several kernels share it.
type store struct {
	*scratch
	bytes uint64 // most to keep
}

// openStore prepares dir and clears what earlier kernels left half done.
func openStore(dir string, most uint64) (*store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	sc, err := openScratch(dir)
	if err != nil {
		return nil, err
	}
	return &store{scratch: sc, bytes: most}, nil
}

// open returns the artifact of key and marks it used. One that is damaged is
// removed.
func (s *store) open(key cacheKey) (*artifact, error) {
	dir := s.path(key)
	a, err := openArtifact(dir, false)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.remove(key)
		}
		return nil, err
	}
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // only orders what is forgotten first
	return a, nil
}

func (s *store) path(key cacheKey) string { return filepath.Join(s.dir, key.String()) }

// commit verifies what was filled and gives it its name.
func (s *store) commit(key cacheKey, dir string) (*artifact, error) {
	a, err := openArtifact(dir, false)
	if err == nil {
		s.remove(key)
		err = os.Rename(dir, s.path(key))
	}
	if err != nil {
		_ = os.RemoveAll(dir) // the sweep of a later kernel takes what is left
		return nil, &guest.LoadError{Kind: guest.HostFailed, Reason: "compiled code could not be kept", Err: err}
	}
	a.dir = s.path(key)
	s.trim(key)
	return a, nil
}

// remove forgets key. It is renamed first so that no other kernel sees half of
// it.
func (s *store) remove(key cacheKey) {
	old, err := s.make()
	if err != nil {
		return
	}
	_ = os.Rename(s.path(key), filepath.Join(old, "old")) // there may be nothing
	_ = os.RemoveAll(old)                                 // or the sweep does
}

// lock takes the lock of key's part of the store, between kernels.
func (s *store) lock(ctx context.Context, key cacheKey) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, lockDir, hex.EncodeToString(key[:1])), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &guest.LoadError{Kind: guest.HostFailed, Reason: "the cache of compiled programs cannot be locked", Err: err}
	}
	for {
		err := tryLock(f)
		if err == nil {
			return func() { _ = f.Close() }, nil // closing unlocks
		}
		if !errors.Is(err, errLocked) {
			return nil, errors.Join(&guest.LoadError{Kind: guest.HostFailed, Reason: "the cache of compiled programs cannot be locked", Err: err}, f.Close())
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		}
	}
}

// trim removes the artifacts that were used longest ago until the rest fits,
// sparing keep.
func (s *store) trim(keep cacheKey) {
	type entry struct {
		key  cacheKey
		used time.Time
		size uint64
	}
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	var all []entry
	total := uint64(0)
	for _, n := range names {
		var e entry
		if raw, err := hex.DecodeString(n.Name()); err != nil || copy(e.key[:], raw) != len(e.key) {
			continue
		}
		info, err := n.Info()
		if err != nil {
			continue
		}
		e.used = info.ModTime()
		_ = filepath.WalkDir(s.path(e.key), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if i, err := d.Info(); err == nil {
					e.size += uint64(i.Size())
				}
			}
			return nil
		})
		total += e.size
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int { return a.used.Compare(b.used) })
	for _, e := range all {
		if total <= s.bytes {
			return
		}
		if e.key != keep {
			s.remove(e.key)
			total -= e.size
		}
	}
}
