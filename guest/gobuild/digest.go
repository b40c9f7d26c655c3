package gobuild

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// settingsVersion changes when the same source would be compiled in another way.
const settingsVersion = 1

// The most that is read to find out whether a program was compiled already.
const (
	maxDigestFiles = 20_000
	maxDigestBytes = 256 << 20
)

// Key digests everything that the compiled form depends on: the toolchain, the
// settings, and the content of every file that the compiler can see. hidden is a
// directory that it cannot see. If that cannot be said for certain, or is too much,
// the key is "" and why says so.
func (p *Package) Key(t *Toolchain, hidden string) (key, why string) {
	d := digest{hidden: hidden, base: p.Root}
	d.Hash = sha256.New()
	d.put("agentos go %d", settingsVersion)
	d.put("%s", t.ID)
	dir := p.Root
	if p.Lone {
		dir = filepath.Dir(p.Root)
	}
	for _, s := range p.Sources {
		rel, err := filepath.Rel(dir, s)
		if err != nil {
			return "", err.Error()
		}
		d.put("source %t %s", p.Module, filepath.ToSlash(rel))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err.Error()
	}
	if p.Lone {
		err = d.file(root, filepath.Base(p.Root))
	} else {
		err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return d.entry(root, name, e)
		})
	}
	if err = errors.Join(err, root.Close()); err != nil {
		return "", err.Error()
	}
	return hex.EncodeToString(d.Sum(nil)), ""
}

type digest struct {
	hash.Hash
	hidden string
	base   string
	files  int
	bytes  int64
}

// put adds words, each with its length before it, so that no two lists of them look
// the same.
func (d *digest) put(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	_, _ = fmt.Fprintf(d, "%d:%s\n", len(s), s) // a digest never fails
}

// unseen are directories that go never reads, wherever they are.
var unseen = []string{".git", ".hg", ".svn", ".bzr"}

func (d *digest) entry(root *os.Root, name string, e fs.DirEntry) error {
	switch {
	case e.IsDir() && (slices.Contains(unseen, e.Name()) || filepath.Join(d.base, name) == d.hidden):
		return fs.SkipDir
	case e.IsDir():
		d.put("directory %s", name)
	case e.Type() == fs.ModeSymlink:
		return d.link(root, name)
	case e.Type().IsRegular():
		return d.file(root, name)
	default:
		d.put("other %s", name)
	}
	return nil
}

// link adds a symbolic link. Inside the directory what it leads to is digested there;
// what it may lead to outside is not known.
func (d *digest) link(root *os.Root, name string) error {
	target, err := root.Readlink(name)
	if err != nil {
		return err
	}
	if !inside(name, target) {
		return fmt.Errorf("%s is a symbolic link that leads out of %s", name, d.base)
	}
	d.put("link %s %q", name, target)
	return nil
}

// inside reports whether the target of the link at name is certain to lie in the
// directory that name starts from. Going up counts only at the beginning of a target,
// where it starts at a real directory and not at what another link leads to.
func inside(name, target string) bool {
	if filepath.IsAbs(target) {
		return false
	}
	up, down := 0, false
	for part := range strings.SplitSeq(filepath.ToSlash(target), "/") {
		switch {
		case part == "..":
			if down {
				return false
			}
			up++
		case part != "" && part != ".":
			down = true
		}
	}
	return up <= strings.Count(filepath.ToSlash(name), "/")
}

func (d *digest) file(root *os.Root, name string) (err error) {
	if d.files++; d.files > maxDigestFiles {
		return fmt.Errorf("there are more than %d files in %s", maxDigestFiles, d.base)
	}
	// What became of a regular file since it was listed must not keep us.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s was replaced while it was read", name)
	}
	d.put("file %s %d", name, fi.Size())
	n, err := io.Copy(d, io.LimitReader(f, maxDigestBytes-d.bytes+1))
	if err != nil {
		return err
	}
	if d.bytes += n; d.bytes > maxDigestBytes {
		return fmt.Errorf("there are more than %d MiB in %s", maxDigestBytes>>20, d.base)
	}
	if n != fi.Size() {
		return fmt.Errorf("%s changed while it was read", name)
	}
	return nil
}
