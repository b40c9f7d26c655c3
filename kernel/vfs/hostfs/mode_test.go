//go:build unix

package hostfs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

func TestSetMode(t *testing.T) {
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "f"), "x")
		check(t, os.Chmod(filepath.Join(dir, "f"), 0o755|os.ModeSetuid|os.ModeSetgid))
		check(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
		check(t, os.Chmod(filepath.Join(dir, "d"), 0o755|os.ModeSticky))
		check(t, os.Symlink("f", filepath.Join(dir, "l")))
		type moder interface{ SetMode(uint32) abi.Errno }
		set := func(fs *FS, name string, mode uint32) abi.Errno {
			t.Helper()
			m, ok := mustWalk(t, mustRoot(t, fs), name).(moder)
			if !ok {
				t.Fatal("no SetMode")
			}
			return m.SetMode(mode)
		}
		mode := func(name string) os.FileMode {
			t.Helper()
			fi, err := os.Lstat(filepath.Join(dir, name))
			check(t, err)
			return fi.Mode() &^ os.ModeType
		}
		want(t, "without a write grant", set(open(t, dir, Options{}), "f", 0o600), abi.EROFS)
		fs := open(t, dir, Options{Write: true})
		want(t, "a file", set(fs, "f", 0o6640), abi.OK)
		want(t, "a directory", set(fs, "d", 0o700), abi.OK)
		want(t, "a link", set(fs, "l", 0o700), abi.EINVAL)
		if m := mode("f"); m != 0o640 {
			t.Errorf("the file has %v", m)
		}
		if m := mode("d"); m != 0o700|os.ModeSticky {
			t.Errorf("the directory has %v", m)
		}
	})
}

func TestSetOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only the superuser can give files away")
	}
	variants(t, func(t *testing.T, open opener) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "like"), "x")
		write(t, filepath.Join(dir, "f"), "x")
		check(t, os.Chown(filepath.Join(dir, "like"), 12345, 23456))
		type owner interface{ SetOwner(vfs.Node) abi.Errno }
		set := func(fs *FS, name string) abi.Errno {
			t.Helper()
			root := mustRoot(t, fs)
			o, ok := mustWalk(t, root, name).(owner)
			if !ok {
				t.Fatal("no SetOwner")
			}
			return o.SetOwner(mustWalk(t, root, "like"))
		}
		want(t, "without a write grant", set(open(t, dir, Options{}), "f"), abi.EROFS)
		fs := open(t, dir, Options{Write: true})
		want(t, "a file", set(fs, "f"), abi.OK)
		want(t, "itself", set(fs, "like"), abi.OK)
		fi, err := os.Stat(filepath.Join(dir, "f"))
		check(t, err)
		if st, ok := fi.Sys().(*syscall.Stat_t); !ok || st.Uid != 12345 || st.Gid != 23456 {
			t.Errorf("the file belongs to %+v", fi.Sys())
		}
	})
}
