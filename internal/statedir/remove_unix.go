//go:build unix

package statedir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openDirectory opens name in parent, never through a symbolic link. A directory
// that its owner may not read (a guest can make one) is made accessible first.
func openDirectory(parent int, name string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	fd, err := unix.Openat(parent, name, flags, 0)
	if errors.Is(err, unix.EACCES) {
		if err = chmodDirectory(parent, name); err == nil {
			fd, err = unix.Openat(parent, name, flags, 0)
		}
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&0o700 != 0o700 {
		err = unix.Fchmod(fd, 0o700)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// isDirectoryError reports whether unlink said, in the words of one system or the
// other, that the name may be a directory.
func isDirectoryError(err error) bool {
	return errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
}

// removeEntry removes a file or an empty directory. full reports a directory that
// has something in it.
func removeEntry(parent int, name string) (full bool, err error) {
	err = unix.Unlinkat(parent, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if !isDirectoryError(err) {
		return false, err
	}
	switch rerr := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR); {
	case rerr == nil || errors.Is(rerr, unix.ENOENT):
		return false, nil
	case errors.Is(rerr, unix.ENOTEMPTY) || errors.Is(rerr, unix.EEXIST):
		return true, nil
	case errors.Is(rerr, unix.ENOTDIR):
		return false, err
	default:
		return false, rerr
	}
}

// remover deletes trees below one directory, the trash, in constant space:
// a directory found inside another is lifted into the trash under a number and
// emptied later, so neither the depth of a tree nor its width costs descriptors,
// stack, or memory. Several removers may work on the same tree.
type remover struct {
	trash  *os.File
	prefix string // of the numbered names; no other remover has it
	lifted int    // numbers given out
	left   int    // entries that could not be removed
	errs   []error
}

func (r *remover) fail(name string, err error) {
	const keep = 4
	r.left++
	if len(r.errs) < keep {
		r.errs = append(r.errs, fmt.Errorf("%s: %w", name, err))
	}
}

// remove deletes the trash entry name and whatever it contains.
func (r *remover) remove(ctx context.Context, name string) {
	r.empty(ctx, name)
	for done := 0; done < r.lifted && ctx.Err() == nil; done++ {
		r.empty(ctx, r.prefix+strconv.Itoa(done))
	}
}

// empty deletes one trash entry, lifting the directories in it.
func (r *remover) empty(ctx context.Context, name string) {
	if err := r.tryEmpty(ctx, name); err != nil && !errors.Is(err, unix.ENOENT) {
		r.fail(name, err)
	}
}

func (r *remover) tryEmpty(ctx context.Context, name string) error {
	trash := int(r.trash.Fd())
	// Whoever had the directory open may put a last file into it: try again.
	for range 3 {
		full, err := removeEntry(trash, name)
		if err != nil || !full {
			return err
		}
		dir, err := openDirectory(trash, name)
		if err != nil {
			return err
		}
		if err := errors.Join(r.lift(ctx, dir), dir.Close()); err != nil {
			return err
		}
	}
	full, err := removeEntry(trash, name)
	if err == nil && full {
		err = unix.ENOTEMPTY
	}
	return err
}

// lift removes the files of a directory and lifts its directories, in passes,
// since a listing may skip entries while others are removed.
func (r *remover) lift(ctx context.Context, dir *os.File) error {
	for {
		progress := false
		var failed error
		for {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			list, err := dir.Readdirnames(512)
			for _, child := range list {
				if err := r.liftOne(int(dir.Fd()), child); err != nil {
					failed = fmt.Errorf("%s: %w", child, err)
				} else {
					progress = true
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		if !progress {
			return failed
		}
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}

func (r *remover) liftOne(dir int, child string) error {
	full, err := removeEntry(dir, child)
	if err != nil || !full {
		return err
	}
	to := r.prefix + strconv.Itoa(r.lifted)
	trash := int(r.trash.Fd())
	err = unix.Renameat(dir, child, trash, to)
	if errors.Is(err, unix.EACCES) { // moving a directory rewrites its "..", which takes write permission
		if err = chmodDirectory(dir, child); err == nil {
			err = unix.Renameat(dir, child, trash, to)
		}
	}
	if errors.Is(err, unix.ENOENT) { // another remover was faster
		return nil
	}
	if err == nil {
		r.lifted++
	}
	return err
}

// discard takes what is at rel, below the state directory, out of sight and then
// deletes it. A missing rel is fs.ErrNotExist. After any other error the rest is in
// the trash or still at rel.
func (d *Dir) discard(rel string) error {
	name, err := d.toTrash(rel)
	if err != nil {
		return err
	}
	trash, err := d.sub(trashDir, false)
	if err != nil {
		return err
	}
	_, err = removeTrash(context.Background(), trash, name)
	return err
}

// toTrash takes what is at rel out of sight by one rename and returns its name in
// the trash. A missing rel is fs.ErrNotExist.
func (d *Dir) toTrash(rel string) (name string, err error) {
	if _, err := d.sub(trashDir, true); err != nil {
		return "", err
	}
	name = randomName("")
	err = d.root.Rename(rel, trashDir+"/"+name)
	if errors.Is(err, unix.EACCES) { // moving a directory takes write permission on it
		if err = d.makeAccessible(rel); err == nil {
			err = d.root.Rename(rel, trashDir+"/"+name)
		}
	}
	return name, err
}

// makeAccessible gives the owner of the directory at rel its rights back.
func (d *Dir) makeAccessible(rel string) error {
	dir, base := ".", rel
	for i := len(rel) - 1; i >= 0; i-- {
		if rel[i] == '/' {
			dir, base = rel[:i], rel[i+1:]
			break
		}
	}
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(chmodDirectory(int(f.Fd()), base), f.Close())
}

// removeTrash deletes entries of the trash.
func removeTrash(ctx context.Context, trash *os.Root, entries ...string) (left int, err error) {
	f, err := trash.Open(".")
	if err != nil {
		return 0, err
	}
	r := &remover{trash: f, prefix: randomName("") + "."}
	for _, name := range entries {
		if ctx.Err() != nil {
			break
		}
		r.remove(ctx, name)
	}
	return r.left, errors.Join(append(r.errs, ctx.Err(), f.Close())...)
}

// emptyTrash deletes everything in the trash, whoever put it there, and returns how
// many things could not be removed.
func (d *Dir) emptyTrash(ctx context.Context) (left int, err error) {
	trash, err := d.sub(trashDir, false)
	if err != nil {
		return 0, ignoreMissing(err)
	}
	list, err := names(trash)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	return removeTrash(ctx, trash, list...)
}
