package gobuild

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Store keeps modules by the key of their source and the compiled standard libraries
// of toolchains, in a directory that several kernels share and that is the user's
// alone.
type Store struct {
	dir   string
	bytes int64 // most to keep of modules
}

const (
	programsDir = "programs"
	stdPrefix   = "std-"
	tmpPrefix   = "tmp-"
	maxPrograms = 512 << 20
	// stdAge is how long the library of a toolchain that is not used is kept, tmpAge
	// how long a file may take to be written.
	stdAge = 30 * 24 * time.Hour
	tmpAge = time.Hour
)

// OpenStore opens the store at dir, making it if need be.
func OpenStore(dir string) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, programsDir), 0o700); err != nil {
		return nil, err
	}
	return &Store{dir: dir, bytes: maxPrograms}, nil
}

func (s *Store) program(key string) string { return filepath.Join(s.dir, programsDir, key+".wasm") }

// Program returns the module of a key, nil if there is none. What is damaged is none.
func (s *Store) Program(key string, most int64) []byte {
	name := s.program(key)
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // only read from
	b, err := io.ReadAll(io.LimitReader(f, most+sha256.Size+1))
	if err != nil || len(b) < sha256.Size || int64(len(b)) > most+sha256.Size {
		return nil
	}
	image := b[sha256.Size:]
	if sum := sha256.Sum256(image); !bytes.Equal(sum[:], b[:sha256.Size]) {
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now) // only orders what is forgotten first
	return image
}

// Keep stores the module of a key, and forgets those that were used longest ago if
// there are too many.
func (s *Store) Keep(key string, image []byte) (err error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, programsDir), tmpPrefix)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(image)
	_, err = f.Write(sum[:])
	if err == nil {
		_, err = f.Write(image)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.program(key))
	}
	if err != nil {
		return errors.Join(err, unlessMissing(os.Remove(f.Name())))
	}
	return s.trim(key)
}

func unlessMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// trim removes what was used longest ago until the rest fits, sparing keep, and what
// dead kernels did not finish.
func (s *Store) trim(keep string) error {
	dir := filepath.Join(s.dir, programsDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var all []fs.FileInfo
	var errs []error
	total := int64(0)
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			continue // another kernel was quicker
		}
		if strings.HasPrefix(e.Name(), tmpPrefix) {
			if time.Since(fi.ModTime()) > tmpAge {
				errs = append(errs, unlessMissing(os.Remove(filepath.Join(dir, e.Name()))))
			}
			continue
		}
		total += fi.Size()
		all = append(all, fi)
	}
	slices.SortFunc(all, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, fi := range all {
		if total <= s.bytes {
			break
		}
		if fi.Name() != keep+".wasm" {
			errs = append(errs, unlessMissing(os.Remove(filepath.Join(dir, fi.Name()))))
			total -= fi.Size()
		}
	}
	return errors.Join(errs...)
}

// Std is the compiled standard library of one toolchain, as far as programs needed it.
// While it is open for reading nobody adds to it.
type Std struct {
	store *Store
	dir   string
	lock  *os.File // nil while nobody of us reads or adds
}

// Std returns the library of a toolchain. It holds no lock yet.
func (s *Store) Std(t *Toolchain) (*Std, error) {
	d := &Std{store: s, dir: filepath.Join(s.dir, stdPrefix+t.ID)}
	if err := os.MkdirAll(d.Cache(), 0o700); err != nil {
		return nil, err
	}
	return d, nil
}

// Cache returns the path of the directory to lend.
func (d *Std) Cache() string { return filepath.Join(d.dir, "cache") }

// The files of a library, beside its cache.
const (
	haveFile  = "have"    // the packages that are there, a line each
	dirtyFile = "dirty"   // there while what is in the cache is not certain
	growLock  = "growing" // held by who adds
	useLock   = "use"     // shared by who reads, held alone by who adds
)

// Read takes the lock for reading; Close gives it back.
func (d *Std) Read(ctx context.Context) error {
	f, err := lockFile(ctx, filepath.Join(d.dir, useLock), false)
	if err != nil {
		return err
	}
	if d.dirty() {
		return errors.Join(errors.New("the compiled standard library is incomplete"), f.Close())
	}
	d.lock = f
	return nil
}

// Close gives the lock back. It is idempotent.
func (d *Std) Close() error {
	if d.lock == nil {
		return nil
	}
	f := d.lock
	d.lock = nil
	return f.Close()
}

// Missing returns which packages are not there yet.
func (d *Std) Missing(want []string) []string {
	text, err := os.ReadFile(filepath.Join(d.dir, haveFile))
	if err != nil || d.dirty() {
		return want // then they are compiled, which does no harm
	}
	have := strings.Split(strings.TrimSpace(string(text)), "\n")
	return slices.DeleteFunc(slices.Clone(want), func(p string) bool { return slices.Contains(have, p) })
}

// patience is how long who adds waits for those that read. They may compile for
// minutes, and adding only saves time.
const patience = 5 * time.Second

// Grow has compile add what is missing of want. It is not called if nothing is, nor if
// the library is in use for long. Several growers take turns.
func (d *Std) Grow(ctx context.Context, want []string, compile func(missing []string) error) (err error) {
	if len(d.Missing(want)) == 0 {
		return nil
	}
	turn, err := lockFile(ctx, filepath.Join(d.dir, growLock), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, turn.Close()) }()
	missing := d.Missing(want)
	if len(missing) == 0 {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	use, err := lockFile(short, filepath.Join(d.dir, useLock), true)
	if err != nil {
		if ctx.Err() == nil && short.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, use.Close()) }()
	if err := d.store.forget(filepath.Base(d.dir)); err != nil {
		return err
	}
	if err := d.begin(); err != nil {
		return err
	}
	if err := compile(missing); err != nil {
		return err
	}
	have := append(slices.Clone(want), missing...)
	if text, err := os.ReadFile(filepath.Join(d.dir, haveFile)); err == nil {
		have = append(have, strings.Fields(string(text))...)
	}
	slices.Sort(have)
	return d.commit(slices.Compact(have))
}

func (d *Std) dirty() bool {
	_, err := os.Lstat(filepath.Join(d.dir, dirtyFile))
	return !errors.Is(err, fs.ErrNotExist)
}

// begin marks the cache as uncertain, and empties it if it is so already: whoever
// added last was killed, or the host was.
func (d *Std) begin() error {
	if d.dirty() {
		if err := errors.Join(unlessMissing(os.Remove(filepath.Join(d.dir, haveFile))), os.RemoveAll(d.Cache()), os.Mkdir(d.Cache(), 0o700)); err != nil {
			return err
		}
	}
	if err := d.mark(); err != nil {
		return err
	}
	// With the time of a look through it in it, go does not look for what was not used
	// lately: it does not see what is used.
	return os.WriteFile(filepath.Join(d.Cache(), "trim.txt"), fmt.Appendln(nil, time.Now().Unix()), 0o600)
}

// mark is on the disk before anything that follows it.
func (d *Std) mark() error {
	if err := os.WriteFile(filepath.Join(d.dir, dirtyFile), nil, 0o600); err != nil {
		return err
	}
	return syncTree(d.dir)
}

// commit has what was added on the disk before it says that it is there.
func (d *Std) commit(have []string) error {
	tmp := filepath.Join(d.dir, tmpPrefix+haveFile) // the lock is ours
	err := os.WriteFile(tmp, []byte(strings.Join(have, "\n")+"\n"), 0o600)
	if err == nil {
		err = os.Rename(tmp, filepath.Join(d.dir, haveFile))
	}
	if err == nil {
		err = syncTree(d.dir)
	}
	if err == nil {
		err = os.Remove(filepath.Join(d.dir, dirtyFile))
	}
	return err
}

// Drop has everything compiled again that programs need: what is there is damaged.
func (d *Std) Drop() error { return d.mark() }

// Sound reports whether every entry of the cache has its content, as far as can be
// seen without reading that. It is asked when a build fails for no reason that a
// damaged cache could not be.
func (d *Std) Sound() bool {
	entries, err := filepath.Glob(filepath.Join(d.Cache(), "??", "*-a"))
	if err != nil {
		return false
	}
	for _, e := range entries {
		text, err := os.ReadFile(e)
		if err != nil {
			return false
		}
		// "v1", the action, the digest of its output, the size of that, and the time.
		f := strings.Fields(string(text))
		if len(f) != 5 || len(f[2]) < 2 {
			return false
		}
		size, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			return false
		}
		fi, err := os.Stat(filepath.Join(d.Cache(), f[2][:2], f[2]+"-d"))
		if err != nil || fi.Size() != size {
			return false
		}
	}
	return true
}

// forget removes the libraries of toolchains that were not used for long.
func (s *Store) forget(except string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		dir := filepath.Join(s.dir, e.Name())
		if e.Name() == except || !strings.HasPrefix(e.Name(), stdPrefix) {
			continue
		}
		// Whoever reads touches the lock.
		fi, err := os.Stat(filepath.Join(dir, useLock))
		if err != nil || time.Since(fi.ModTime()) < stdAge {
			continue
		}
		f, err := os.Open(filepath.Join(dir, useLock))
		if err != nil {
			continue
		}
		if free, err := tryLock(f, true); err == nil && free {
			errs = append(errs, os.RemoveAll(dir))
		}
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// lockFile waits for the lock of a file, which it makes if need be.
func lockFile(ctx context.Context, name string, exclusive bool) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		ok, err := tryLock(f, exclusive)
		if ok {
			now := time.Now()
			_ = os.Chtimes(name, now, now) // only says how long ago it was used
			return f, nil
		}
		if err == nil {
			select {
			case <-time.After(20 * time.Millisecond):
				continue
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		return nil, errors.Join(err, f.Close())
	}
}
