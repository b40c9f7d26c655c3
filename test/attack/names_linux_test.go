package attack

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

var renames = class{"renames", []attempt{
	{name: "out-of-read-grant", tries: "to move a file from what may be read to what may be written",
		grants: []string{"read other", "write data"}, calls: []string{"rename 3 in.txt 4 mine", "rename 4 pub.txt 3 new"}, answers: "EACCES EACCES",
		free: []string{"other"}, bare: "the directories are told apart by the test of hard links"},
	{name: "out-of-nested-read", tries: "the same where one grant stands in the other",
		grants: []string{"write data", "read data/ro"}, calls: []string{"rename 3 ro/in.txt 3 mine", "rename 3 pub.txt 3 ro/new", "rename 3 ro 3 moved", "rename 3 sub 3 ro", "rmdir 3 ro"},
		answers: "EACCES EACCES EBUSY EBUSY EBUSY", bare: "changes"},
	{name: "denied", tries: "to move a denied file to a name that is not denied",
		grants: []string{"write data", "deny data/denied.txt"}, calls: []string{"rename 3 denied.txt 3 mine", "open 3 mine r", "read $1"}, answers: "EACCES|ENOENT ENOENT EBADF",
		gone: []string{"data/denied.txt"}, bare: "leaks"},
	{name: "over-denied", tries: "to replace a denied file",
		grants: []string{"write data", "deny data/denied.txt"}, calls: []string{"rename 3 pub.txt 3 denied.txt"}, answers: "EACCES", gone: []string{"data/denied.txt"}, bare: "changes"},
	{name: "parent-of-denied", tries: "to move the directory above a denied file, and read it under its new name",
		grants: []string{"write data", "deny data/mix/key"}, calls: []string{"rename 3 mix 3 moved", "open 3 moved/key r", "read $1"}, answers: "EACCES|EBUSY ENOENT EBADF",
		gone: []string{"data/mix/key"}, bare: "leaks"},
	{name: "over-parent-of-denied", tries: "to move a directory over the one above a denied file",
		grants: []string{"write data", "deny data/lone/key"}, calls: []string{"mkdir 3 new", "rename 3 new 3 lone", "rename 3 lone 3 away", "mkdir 3 lone2"}, answers: "ok EACCES|EBUSY EACCES|EBUSY ok",
		gone: []string{"data/lone/key"}, bare: "tells"},
	{name: "parent-of-read-only", tries: "to move the directory above a read-only grant, and write under its new name",
		grants: []string{"write data", "read data/sub/deep"}, calls: []string{"rename 3 sub 3 moved", "open 3 moved/deep/in.txt wt", "open 3 sub/deep/in.txt wt"}, answers: "EACCES|EBUSY ENOENT EACCES",
		bare: "it changes what the digest leaves to the guest"},
	{name: "git-directory", tries: "to move a repository's directory away, and one with hooks to its place",
		grants: []string{"write data"}, calls: []string{"rename 3 repo/.git 3 repo/old", "mkdir 3 g", "mkdir 3 g/hooks", "open 3 g/hooks/pre-commit wc", "rename 3 g 3 .git", "rename 3 g 3 repo/.git", "rename 3 g/hooks 3 repo/.git/hooks"},
		answers: "EACCES ok ok ok EACCES EACCES EACCES", bare: "changes"},
	{name: "into-modules", tries: "to move a directory that holds a config to where it is a submodule's",
		grants: []string{"write data"}, calls: []string{"mkdir 3 n", "open 3 n/config wc", "rename 3 n 3 repo/.git/modules/n", "mkdir 3 n/deep", "rename 3 n/deep 3 repo/.git/modules/m/x", "rename 3 n/config 3 repo/.git/modules/m/config"},
		answers: "ok ok EACCES ok EACCES EACCES", bare: "changes"},
	{name: "file-onto-protected", tries: "to move a file to a protected name",
		grants: []string{"write data"}, calls: []string{"rename 3 pub.txt 3 repo/.git/config", "rename 3 sub/in.txt 3 repo/.git/hooks/pre-push", "rename 3 sub/key 3 .bashrc", "rename 3 repo/src.txt 3 .vscode/tasks.json"},
		answers: "EACCES EACCES EACCES ENOENT|EACCES", bare: "changes"},
	{name: "protected-away", tries: "to move a protected file away, so that a new one takes its place",
		grants: []string{"write data"}, calls: []string{"rename 3 repo/.git/config 3 c", "rename 3 repo/.git/hooks 3 h", "unlink 3 repo/.git/config", "rmdir 3 repo/.git/hooks"},
		answers: "EACCES EACCES EACCES EACCES", bare: "changes"},
	{name: "under-open-handle", tries: "to move a directory while it is open, and go up from it",
		grants: []string{"write data", "deny data/secret"}, calls: []string{"open 3 sub/deep rd", "rename 3 sub/deep 3 deep", "open $0 ../secret/key r", "read $2", "open $0 ../denied.txt r", "open $0 .. rd", "open $0 in.txt r"},
		answers: "ok ok EPERM EBADF EPERM EPERM ok", gone: []string{"data/secret"}, bare: "leaks"},
	{name: "open-handle-into-read-only", tries: "to write through a handle whose directory is then moved to where it may not be written",
		grants: []string{"write data", "read data/ro"}, calls: []string{"open 3 sub rd", "rename 3 sub 3 ro/sub", "open $0 new wc", "open 3 ro/sub/new wc"}, answers: "ok EACCES ok EACCES|ENOENT",
		bare: "changes"},
	{name: "to-itself", tries: "a directory into itself, the root, and names that are no names",
		grants: []string{"write data"}, calls: []string{"rename 3 sub 3 sub/deep/sub", "rename 3 / 3 x", "rename 3 sub 3 .", "rename 3 sub/.. 3 x", "rename 3 sub 3 sub/.", "rename 6 TOP/data 6 TOP/moved"},
		answers: "EINVAL EPERM EBUSY EBUSY EBUSY EBUSY|EACCES", bare: "the host refuses it as well"},
	{name: "across-mappings", tries: "between two guest names of one directory, of which one may be written",
		grants: []string{"read data:/r", "write data:/w", "deny data/denied.txt"}, calls: []string{"rename 3 pub.txt 4 mine", "rename 4 denied.txt 4 mine", "open 3 denied.txt r", "open 4 denied.txt r", "link 3 pub.txt 4 mine", "open 4 mine r", "read $5"},
		answers: "EACCES EACCES|ENOENT ENOENT ENOENT EACCES ENOENT EBADF", gone: []string{"data/denied.txt"}, bare: "leaks"},
}}

var protected = class{"protected", []attempt{
	{name: "plain", tries: "to write the protected files by their names",
		grants: []string{"write data"}, calls: []string{"open 3 repo/.git/hooks/old wt", "open 3 repo/.git/hooks/pre-commit wc", "open 3 repo/.git/config wa", "open 3 .mcp.json wc", "mkdir 3 .vscode", "symlink x 3 .bashrc", "times 3 repo/.git/config"},
		answers: "EACCES EACCES EACCES EACCES EACCES EACCES EACCES", bare: "changes"},
	{name: "case", tries: "other cases of the same names",
		grants: []string{"write data"}, calls: []string{"open 3 repo/.GIT/hooks/new wc", "mkdir 3 n", "mkdir 3 n/.Git", "mkdir 3 n/.Git/Hooks", "open 3 .MCP.json wc", "open 3 .BashRC wc", "mkdir 3 .VSCode", "open 3 n/.Git/CONFIG wc"},
		answers: "ENOENT|EACCES ok ok EACCES EACCES EACCES EACCES EACCES", bare: "only some file systems take them for the same"},
	{name: "ignored-characters", tries: "characters that HFS+ leaves out",
		grants: []string{"write data"}, calls: []string{`mkdir 3 "n"`, `mkdir 3 "n/.g\u200cit"`, `mkdir 3 "n/.g\u200cit/hooks"`, `open 3 ".mcp\u200d.json" wc`, `open 3 "\ufeff.bashrc" wc`, `symlink x 3 "n/.\u202egit"`},
		answers: "ok ok EACCES EACCES EACCES EACCES", bare: "only some file systems take them for the same"},
	{name: "folding", tries: "letters that fold to those of the names",
		grants: []string{"write data"}, calls: []string{`open 3 ".ba\u017fhrc" wc`, `mkdir 3 .v\u017fcode`, `open 3 ".bas\u0068rc" wc`, `mkdir 3 ".\u0130dea"`, `mkdir 3 "n"`, `mkdir 3 "n/.g\u0131t"`, `mkdir 3 "n/.g\u0131t/hook\u017f"`},
		answers: "EACCES EACCES|ok EACCES EACCES ok ok EACCES", bare: "only some file systems take them for the same"},
	{name: "trailing-dots", tries: "dots and spaces at the end, which FAT drops",
		grants: []string{"write data"}, calls: []string{`open 3 ".bashrc." wc`, `open 3 ".bashrc " wc`, `mkdir 3 ".vscode . "`, `mkdir 3 n`, `mkdir 3 "n/.git."`, `mkdir 3 "n/.git./hooks "`},
		answers: "EACCES EACCES EACCES ok ok EACCES", bare: "only some file systems take them for the same"},
	{name: "short-name", tries: "the short names that FAT gives",
		grants: []string{"write data"}, calls: []string{`mkdir 3 n`, `mkdir 3 "n/git~1"`, `mkdir 3 "n/git~1/hooks"`, `open 3 "n/GIT~1/config" wc`},
		answers: "ok ok EACCES EACCES|ENOENT", bare: "only some file systems take them for the same"},
	{name: "short-name-others", tries: "the short names of the other protected names",
		grants: []string{"write data"}, calls: []string{`open 3 "BASHRC~1" wc`, `open 3 "MCP~1.JSO" wc`, `mkdir 3 "VSCODE~1"`, `open 3 "GITCON~1" wc`, `open 3 "gitmod~1" wc`, `mkdir 3 "CLAUDE~1"`, `mkdir 3 "CLAUDE~1/commands"`, `mkdir 3 "SSH~1"`},
		answers: "EACCES EACCES EACCES EACCES EACCES ok EACCES EACCES", bare: "only some file systems take them for the same"},
	{name: "git-as-file", tries: "a `.git` that is a file and names another directory",
		grants: []string{"write data"}, calls: []string{"mkdir 3 n", "open 3 n/.git wc", "symlink ../evil 3 n/.git", "open 3 repo/.git/commondir wc", "open 3 pub.txt r", "link 3 pub.txt 3 n/.git", "rename 3 pub.txt 3 n/.git"},
		answers: "ok EACCES EACCES EACCES ok EACCES EACCES", bare: "changes"},
	{name: "worktrees", tries: "the places that stand for hooks and config in work trees and submodules",
		grants: []string{"write data"}, calls: []string{"open 3 repo/.git/modules/m/config wc", "mkdir 3 repo/.git/worktrees", "mkdir 3 repo/.git/worktrees/w", "open 3 repo/.git/worktrees/w/config.worktree wc", "mkdir 3 repo/.git/modules/m/modules", "mkdir 3 repo/.git/modules/m/modules/hooks"},
		answers: "EACCES ok ok EACCES ok EACCES", free: []string{"data/repo/.git"}, bare: "the digest leaves the repository to the guest"},
	{name: "through-mapping", tries: "the same files under a guest path that says nothing of a repository",
		grants: []string{"write data/repo/.git:/x"}, calls: []string{"open 3 config wt", "open 3 hooks/new wc", "open 6 x/config wt", "open 3 modules/m/config wc"}, answers: "EACCES EACCES EACCES EACCES", bare: "changes"},
	{name: "through-handle", tries: "through a handle of the directory, instead of a path",
		grants: []string{"write data"}, calls: []string{"open 3 repo/.git/hooks rd", "open $0 pre-commit wc", "open 3 repo/.git rd", "open $2 config wt", "open $2 ./hooks/../config wt", "unlink $0 old", "ftimes $0"},
		answers: "ok EACCES ok EACCES EACCES EACCES EACCES", bare: "changes"},
	{name: "read-handle-changes", tries: "to change a protected file through a handle that reads it",
		grants: []string{"write data"}, calls: []string{"open 3 repo/.git/config r*", "write $0 x", "resize $0 0", "allocate $0 4096", "ftimes $0"}, answers: "EACCES EBADF EBADF EBADF EBADF", bare: "changes"},
	{name: "unprotected-neighbour", tries: "beyond what --unprotect lifts",
		grants: []string{"write data"}, unprotect: []string{"data/repo/.git/hooks"}, free: []string{"data/repo/.git"},
		calls: []string{"open 3 repo/.git/hooks/new wc", "open 3 repo/.git/config wt", "rename 3 repo/.git/hooks 3 repo/.git/config", "rename 3 repo/.git/hooks 3 h", "rename 3 repo/.git 3 g"}, answers: "ok EACCES EACCES EACCES|EBUSY|ok EACCES|EBUSY", bare: "the digest leaves the repository to the guest"},
	{name: "remove-then-link", tries: "to remove the empty directory above and put a link in its place",
		grants: []string{"write data"}, host: func(t testing.TB, top string) { must(t, os.MkdirAll(filepath.Join(top, "data/n/.git"), 0o755)) },
		calls: []string{"rmdir 3 n/.git", "symlink ../evil 3 n/.git", "mkdir 3 evil", "mkdir 3 evil/hooks", "rename 3 evil 3 n/.git"}, answers: "ok EACCES ok ok EACCES", bare: "it changes what the digest leaves to the guest"},
}}

var denies = class{"denies", []attempt{
	{name: "plain", tries: "a denied file and directory by their names",
		grants: []string{"write data", "deny data/secret", "deny data/denied.txt"}, calls: []string{"open 3 denied.txt r", "open 3 secret/key r", "open 3 secret rd", "stat 3 denied.txt", "read $0", "open 3 denied.txt w", "open 3 secret/new wc", "ls 3"},
		answers: "ENOENT ENOENT ENOENT ENOENT EBADF EACCES|ENOENT EACCES|ENOENT ok", gone: []string{"data/secret", "data/denied.txt"}, bare: "leaks"},
	{name: "spellings", tries: "dots and slashes in a denied name",
		grants: []string{"read data", "deny data/secret"}, calls: []string{"open 3 ./secret//key r", "open 3 sub/../secret/./key r", `open 6 "TOP//data/./secret/key" r`, "open 3 secret/../secret/key r", "read $1", "open 3 secret/.. rd"},
		answers: "ENOENT ENOENT ENOENT ENOENT EBADF ENOENT", gone: []string{"data/secret"}, bare: "leaks"},
	{name: "specific-grant-inside", tries: "a grant inside of what is denied, which must not win",
		grants: []string{"read data", "read data/secret/dir", "deny data/secret"}, calls: []string{"open 3 secret/dir/key r", "open 4 key r", "open 7 TOP/data/secret/dir/key r", "read $1", "ls 4"},
		answers: "ENOENT ENOENT ENOENT EBADF -", bare: "leaks"},
	{name: "deny-by-link", tries: "what is denied by a link's name, by its own",
		grants: []string{"read data", "deny data/l"}, host: link("secret", "data/l"), calls: []string{"open 3 secret/key r", "open 3 l/key r", "open 3 l r", "readlink 3 l", "read $0"},
		answers: "ENOENT ENOENT ENOENT ENOENT EBADF", bare: "leaks"},
	{name: "deny-through-link", tries: "what is denied by a path that leads through a link",
		grants: []string{"read data", "deny way/secret"}, host: link("data", "way"), calls: []string{"open 3 secret/key r", "read $0", "open 6 TOP/data/secret/key r"},
		answers: "ENOENT EBADF ENOENT", bare: "leaks"},
	{name: "deny-missing-through-link", tries: "to create what does not exist yet and is denied by a path that leads through a link",
		grants: []string{"write data", "deny way/later"}, host: link("data", "way"), calls: []string{"open 3 later wc", "mkdir 3 later", "open 3 later r"},
		answers: "EACCES|ENOENT EACCES|ENOENT ENOENT", bare: "what it makes is not in the digest"},
	{name: "deny-missing-deep", tries: "the same, with directories between that do not exist either",
		grants: []string{"write data", "deny way/later/deep"}, host: link("data", "way"), calls: []string{"mkdir 3 later", "mkdir 3 later/deep", "open 3 later/deep/key wc"},
		answers: "ok EACCES|ENOENT EACCES|ENOENT", bare: "what it makes is not in the digest"},
	{name: "deny-dangling-link", tries: "to create what a denied link points to, which does not exist yet",
		grants: []string{"write data", "deny data/l"}, host: link("later", "data/l"), calls: []string{"open 3 l wc", "open 3 later wc", "unlink 3 l"},
		answers: "EACCES|ENOENT EACCES|ENOENT EACCES", bare: "what it makes is not in the digest"},
	{name: "two-mappings", tries: "the other guest name of what is denied by the host's",
		grants: []string{"read data:/a", "read data:/b", "read data/secret:/c", "deny data/secret"}, calls: []string{"open 3 secret/key r", "open 4 secret/key r", "open 5 key r", "open 8 a/secret/key r", "read $2"},
		answers: "ENOENT ENOENT ENOENT ENOENT EBADF", bare: "leaks"},
	{name: "mapped-above", tries: "a directory above the denied one, under another name",
		grants: []string{"read .:/all", "deny data/secret"}, calls: []string{"open 3 data/secret/key r", "open 3 data/pub.txt r", "read $0"}, answers: "ENOENT ok EBADF", bare: "leaks"},
	{name: "remove-above", tries: "to remove the directory above a denied file, which fails only if it is there",
		grants: []string{"write data", "deny data/lone/key"}, calls: []string{"rmdir 3 lone"}, answers: "EACCES|EBUSY", gone: []string{"data/lone/key"}, bare: "tells"},
	{name: "link-count", tries: "to count the denied directories by the links of the one above",
		grants: []string{"read data", "deny data/secret"}, calls: []string{"stat 3 .", "fstat 3", "stat 6 TOP/data"}, answers: "ok ok ok", gone: []string{"data/secret"}, bare: "tells"},
	{name: "open-as-directory", tries: "to tell a denied file from a missing one by opening it as a directory",
		grants: []string{"read data", "deny data/denied.txt"}, calls: []string{"open 3 denied.txt rd", "open 3 denied.txt/ r", "open 3 denied.txt/x r", "stat 3 denied.txt/.", "readlink 3 denied.txt"},
		answers: "ENOENT ENOENT ENOENT ENOENT ENOENT", gone: []string{"data/denied.txt"}, bare: "tells"},
	{name: "create-exclusively", tries: "to tell by creating it, which fails if it is there",
		grants: []string{"write data", "deny data/denied.txt", "deny data/secret"}, calls: []string{"open 3 denied.txt wcx", "mkdir 3 secret", "symlink x 3 denied.txt", "rmdir 3 secret", "unlink 3 denied.txt", "link 3 pub.txt 3 denied.txt", "rename 3 pub.txt 3 denied.txt"},
		answers: "EACCES EACCES EACCES EACCES EACCES EACCES EACCES", gone: []string{"data/denied.txt", "data/secret"}, bare: "tells"},
}}

var nodes = class{"nodes", []attempt{
	{name: "proc", tries: "/proc where the whole root is granted",
		grants: []string{"read /:/"}, calls: []string{"open 3 proc/self/environ r", "open 3 proc/self/root/TOP/outside/key r", "open 3 proc/1/root rd", "open 3 proc/self/fd rd", "open 3 proc/self/cwd rd", "stat 3 proc/self/exe", "read $1"},
		answers: "ENOENT ENOENT ENOENT ENOENT ENOENT ENOENT EBADF", bare: "leaks"},
	{name: "dev-fd", tries: "descriptors of the kernel's own process by /dev/fd",
		grants: []string{"read /:/"}, calls: []string{"open 3 dev/fd/0 r", "open 3 dev/stdin r", "ls 3", "open 3 dev/fd rd", "open 3 dev/stdout w"},
		answers: "ENOENT|EPERM ENOENT|EPERM ok ENOENT|EPERM ENOENT|EPERM|EACCES", bare: "they are the test's own"},
	{name: "sys", tries: "/sys and devices where the whole root is granted",
		grants: []string{"write /:/"}, calls: []string{"open 3 sys/kernel rd", "open 3 dev/mem r", "open 3 dev/null w", "open 3 dev/kmsg r", "open 3 sys/power/state w"},
		answers: "ENOENT ENOENT ENOENT|EACCES ENOENT ENOENT", bare: "it would change this machine"},
	{name: "link-to-proc", tries: "a link of the grant into /proc",
		grants: []string{"read data"}, host: links("/proc/self/root", "data/p", "/proc/self/fd/0", "data/q", "/dev/fd/3", "data/r"),
		calls: []string{"open 3 p/TOP/outside/key r", "open 3 q r", "open 3 r r", "read $0"}, answers: "EPERM EPERM EPERM EBADF", bare: "leaks"},
	{name: "fifo", tries: "a FIFO in a granted directory, whose other end is somebody else's",
		grants: []string{"write data"}, host: func(t testing.TB, top string) { must(t, unix.Mkfifo(filepath.Join(top, "data/f"), 0o666)) },
		calls: []string{"open 3 f r", "open 3 f w", "open 3 f r*", "open 3 f wc"}, answers: "ENXIO ENXIO ENXIO ENXIO", bare: "it only shows that it opens"},
	{name: "socket", tries: "a socket in a granted directory",
		grants: []string{"write data"}, host: func(t testing.TB, top string) {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			must(t, err)
			// The name of a socket is bounded at 108 bytes, and that of the tree is not.
			dir, err := os.MkdirTemp("/tmp", "s")
			must(t, err)
			must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: dir + "/s"}))
			must(t, os.Rename(dir+"/s", filepath.Join(top, "data/s")))
			must(t, os.Remove(dir))
			t.Cleanup(func() { _ = unix.Close(fd) }) // nobody connects
		},
		calls: []string{"open 3 s r", "open 3 s w", "open 3 s rw"}, answers: "ENXIO ENXIO ENXIO", bare: "the host refuses it as well"},
	{name: "device", tries: "a device node in a granted directory",
		grants: []string{"write data"}, host: func(t testing.TB, top string) {
			if err := unix.Mknod(filepath.Join(top, "data/zero"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
				t.Skipf("NOT CHECKED: this user makes no device nodes: %v", err)
			}
		},
		calls: []string{"open 3 zero r", "stat 3 zero", "ls 3", "open 3 zero wc", "link 3 zero 3 z", "rename 3 zero 3 z", "unlink 3 zero"}, answers: "ENOENT ENOENT ok EACCES|EEXIST ENOENT ENOENT ENOENT", bare: "the test of the host's file system opens one"},
	{name: "set-user-id", tries: "to write a program that runs as its owner",
		grants: []string{"write data"}, host: func(t testing.TB, top string) {
			put(t, filepath.Join(top, "data/su"), "program")
			must(t, unix.Chmod(filepath.Join(top, "data/su"), 0o4755))
		},
		calls: []string{"open 3 su w", "open 3 su wt", "open 3 su r"}, answers: "EACCES EACCES ok", bare: "it only shows that it opens"},
	{name: "state", tries: "AgentOS's own state directory, by a grant above it",
		grants: []string{"read /:/"}, calls: []string{"open 3 STATE rd", "open 3 STATE/runs rd", "stat 3 STATE"}, answers: "ENOENT ENOENT ENOENT", bare: "it is not in the tree"},
}}
