package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Rights of WASI.
const (
	rightRead  = 1 << 1
	rightWrite = 1 << 6
	rightOpen  = 1 << 13
)

var descriptors = class{"descriptors", []attempt{
	{name: "closed", tries: "a descriptor after it was closed",
		grants: []string{"write data"}, calls: []string{"open 3 pub.txt rw", "close $0", "read $0", "write $0 x", "fstat $0", "close $0", "open $0 sub r", "rights $0 0 0"},
		answers: "ok ok EBADF EBADF EBADF EBADF EBADF EBADF", bare: "the host refuses it as well"},
	{name: "reused-number", tries: "the number of a closed descriptor, which a narrower one has now",
		grants: []string{"write data"}, calls: []string{"open 3 pub.txt rw", "close $0", "open 3 ro/in.txt r*", "openwith 3 ro/in.txt 0 2 0", "write $3 overwritten", "read $3"},
		answers: "ok ok - ok ENOTCAPABLE|EBADF ok", bare: "the host refuses it as well"},
	{name: "renumber-over-directory", tries: "a file's descriptor in the place of a pre-opened directory, and a walk from it",
		grants: []string{"read data"}, calls: []string{"open 3 pub.txt r", "renumber $0 3", "open 3 ../outside/key r", "open 3 sub r", "read 3", "read $0"}, answers: "ok ok ENOTDIR|ENOTCAPABLE ENOTDIR|ENOTCAPABLE ok EBADF", bare: "the host refuses it as well"},
	{name: "renumber-widens", tries: "to have a writable grant's rights under a read grant's number",
		grants: []string{"read data", "write other"}, calls: []string{"renumber 4 3", "open 4 in.txt r", "open 3 pub.txt w", "open 3 new wc", "open 3 ../data/pub.txt w"},
		answers: "ok EBADF ENOENT ok EPERM", bare: "the numbers mean the same there"},
	{name: "renumber-itself", tries: "onto itself, closed, and reserved numbers",
		grants: []string{"read data"}, calls: []string{"renumber 3 3", "renumber 3 4000000000", "renumber 99 3", "renumber 3 99", "renumber -1 3", "open 3 pub.txt r"}, answers: "ok EBADF EBADF EBADF EBADF ok", bare: "the host refuses it as well"},
	{name: "rights-back", tries: "to take rights back that were given up",
		grants: []string{"write data"}, calls: []string{"open 3 pub.txt rw", fmt.Sprintf("rights $0 %d 0", rightRead), "write $0 x", fmt.Sprintf("rights $0 %d 0", rightRead|rightWrite), "rights $0 1073741823 1073741823", "write $0 x"},
		answers: "ok ok ENOTCAPABLE|EBADF ENOTCAPABLE ENOTCAPABLE ENOTCAPABLE|EBADF", bare: "the host has no such rights"},
	{name: "rights-inherited", tries: "to open with more rights than a directory passes on",
		grants: []string{"write data"}, calls: []string{fmt.Sprintf("openwith 3 sub 2 %d %d", rightOpen, rightRead), "openwith $0 in.txt 0 64 0", "openwith $0 in.txt 0 2 0", "openwith $0 in.txt 0 66 0", "openwith $0 deep 2 8192 64"},
		answers: "ok ENOTCAPABLE ok ENOTCAPABLE ENOTCAPABLE", bare: "the host has no such rights"},
	{name: "rights-write-on-read", tries: "the right to write, of a grant that only reads",
		grants: []string{"read data"}, calls: []string{"open 3 pub.txt rw", "open 3 pub.txt wa", "open 3 pub.txt rt", "open 3 pub.txt r*", "openwith 3 pub.txt 8 4194304 0", "openwith 3 pub.txt 0 256 0", "resize $5 0", "allocate $5 4096", "ftimes $5"},
		answers: "EACCES EACCES EACCES EACCES EACCES - - - -", bare: "changes"},
	{name: "flags", tries: "to make a reading descriptor one that writes, by its flags",
		grants: []string{"read data"}, calls: []string{"open 3 pub.txt r", "flags $0 1", "write $0 x", "flags $0 255", "flags 3 1", "write 3 x"},
		answers: "ok ok EBADF|ENOTCAPABLE|EACCES EINVAL - EBADF|EISDIR|ENOTCAPABLE|EINVAL", bare: "the host refuses it as well"},
	{name: "from-file", tries: "a walk from a file, and from standard input",
		grants: []string{"read data"}, calls: []string{"open 3 pub.txt r", "open $0 . r", "open $0 ../denied.txt r", "open 0 pub.txt r", "open 1 ../outside/key r", "mkdir 2 x", "stat 0 ."},
		answers: "ok ENOTDIR|ENOTCAPABLE ENOTDIR|ENOTCAPABLE ENOTDIR|ENOTCAPABLE ENOTDIR|ENOTCAPABLE ENOTDIR|ENOTCAPABLE ENOTDIR|ENOTCAPABLE", bare: "the host refuses it as well"},
	{name: "wild-numbers", tries: "numbers that no descriptor has",
		grants: []string{"read data"}, calls: []string{"open -1 pub.txt r", "open -100 TOP/outside/key r", "open 2147483647 pub.txt r", "read -2147483648", "close -1", "ls 1000"}, answers: "EBADF EBADF EBADF EBADF EBADF EBADF", bare: "it means the working directory there"},
	{name: "write-read-directory", tries: "to read and write a directory as if it were a file",
		grants: []string{"write data"}, calls: []string{"read 3", "write 3 x", "resize 3 0", "open 3 sub w", "open 3 sub wt", "pread 3 0"}, answers: "EISDIR|EBADF|ENOTCAPABLE EISDIR|EBADF|ENOTCAPABLE EISDIR|EBADF|EINVAL|ENOTCAPABLE EISDIR EISDIR EISDIR|EBADF|ENOTCAPABLE", bare: "the host refuses it as well"},
	{name: "directory-rights", tries: "to change things through a directory that was opened for reading of a read-only grant",
		grants: []string{"write data", "read data/ro"}, calls: []string{"open 3 ro rd", "open $0 new wc", "mkdir $0 d", "unlink $0 in.txt", "symlink x $0 l", "ftimes $0", "times $0 in.txt", "link $0 in.txt 3 mine", "rename $0 in.txt 3 mine"},
		answers: "ok EACCES EACCES EACCES EACCES EACCES EACCES EACCES EACCES", bare: "changes"},
	{name: "removed-directory", tries: "from a directory that was removed while it was open",
		grants: []string{"write data"}, calls: []string{"mkdir 3 d", "open 3 d rd", "rmdir 3 d", "open $1 ../denied.txt r", "open $1 new wc", "open $1 .. rd"}, answers: "ok ok ok EPERM ENOENT EPERM", bare: "what is beside it may be read"},
}}

var memory = class{"memory", []attempt{
	{name: "descriptor-onto-path", tries: "the new descriptor stored where its path is",
		grants: []string{"read data"}, calls: []string{"open-onto-path 3 pub.txt", "open-onto-path 3 ../outside/key", "read $1", "read $0"}, answers: "ok EPERM EBADF ok", bare: "it is about the memory of guests"},
	{name: "description-onto-path", tries: "the description of a file stored where its path is",
		grants: []string{"read data", "deny data/secret"}, calls: []string{"stat-onto-path 3 pub.txt", "stat-onto-path 3 ../outside/key", "stat-onto-path 3 secret/key"}, answers: "ok EPERM ENOENT", gone: []string{"data/secret", "outside/key"}, bare: "it is about the memory of guests"},
	{name: "target-onto-path", tries: "a link's target stored where the path is that was allowed, and opened from there",
		grants: []string{"read data", "deny data/secret"}, host: links("../outside/key", "data/l", "secret/key", "data/m"), calls: []string{"readlink-onto-path 3 l", "readlink-onto-path 3 m", "read $0", "read $1"}, answers: "EPERM ENOENT EBADF EBADF", bare: "it is about the memory of guests"},
	{name: "names-overlap", tries: "both names of a rename in one buffer",
		grants: []string{"write data", "deny data/secret"}, calls: []string{"rename-same-bytes 3 secretX 6", "rename-same-bytes 3 pub.txt/../../outside/key 7"}, answers: "EACCES|ENOENT ENOTDIR", bare: "it is about the memory of guests"},
	{name: "vectors-overlap", tries: "data that replaces the vectors which say where it goes",
		grants: []string{"read data"}, calls: []string{"open 3 pub.txt r", "read-onto-vectors $0", "open 3 pub.txt r", "read-count-onto-vectors $2", "readdir-onto-count 3"}, answers: "ok - ok ok ok", bare: "it is about the memory of guests"},
	{name: "path-beyond", tries: "paths that begin or end outside of memory, or wrap around",
		grants: []string{"read data"}, calls: []string{"open-at 3 0xffffffff 16", "open-at 3 0xfffffff0 0x20", "open-at 3 16 0xffffffff", "open-at 3 0x7fffffff 0x7fffffff", "open-at 3 0 0"}, answers: "EFAULT EFAULT EFAULT|ENAMETOOLONG EFAULT|ENAMETOOLONG ENOENT", bare: "it is about the memory of guests"},
	{name: "result-beyond", tries: "to create a file and have its descriptor stored outside of memory",
		grants: []string{"write data"}, calls: []string{"open-result-at 3 new 0xffffffff", "open-result-at 3 new 0xfffffffd", "stat 3 new"}, answers: "EFAULT EFAULT ENOENT", bare: "it is about the memory of guests"},
	{name: "vectors-beyond", tries: "reads to outside of memory, and more vectors than there can be",
		grants: []string{"read data"}, calls: []string{"open 3 pub.txt r", "read-at $0 0xffffffff 16", "read-at $0 16 0xffffffff", "read-vectors $0 0xffffffff", "read-vectors $0 0x20000000", "read-vectors $0 100000", "read $0"}, answers: "ok EFAULT EFAULT EFAULT|EINVAL EFAULT|EINVAL EFAULT|EINVAL ok", bare: "it is about the memory of guests"},
	{name: "environment", tries: "the caller's environment and program",
		grants: []string{"read data"}, host: func(t testing.TB, _ string) {
			if t, ok := t.(*testing.T); ok {
				t.Setenv("ATTACK_SECRET", canary)
			}
		},
		calls: []string{"environ", "args"}, answers: "ok ok", bare: "it is about the memory of guests"},
}}

var overlays = class{"overlays", []attempt{
	{name: "writes", tries: "to change the host through a directory whose writes are captured",
		grants: []string{"overlay data"}, calls: []string{"open 3 pub.txt wt", "write $0 overwritten", "unlink 3 sub/in.txt", "mkdir 3 new", "open 3 new/file wc", "rename 3 sub/key 3 moved", "times 3 ro", "symlink ../outside/key 3 l", "open 3 l r"},
		answers: "ok ok ok ok ok ok ok ok EPERM", bare: "changes"},
	{name: "denied", tries: "what is denied beneath an overlay, by copying it up",
		grants: []string{"overlay data", "deny data/secret", "deny data/denied.txt"}, calls: []string{"open 3 denied.txt rw", "rename 3 denied.txt 3 mine", "link 3 denied.txt 3 mine", "open 3 mine r", "read $3", "rename 3 secret 3 s", "rmdir 3 secret", "unlink 3 denied.txt", "ls 3"},
		answers: "EACCES|ENOENT EACCES|ENOENT EACCES|ENOENT ENOENT EBADF EACCES|ENOENT EACCES|ENOENT EACCES|ENOENT ok", gone: []string{"data/secret", "data/denied.txt"}, bare: "leaks"},
	{name: "whiteout-over-denied", tries: "to remove what stands above a denied file, so that the deny covers something new",
		grants: []string{"overlay data", "deny data/lone/key"}, calls: []string{"rmdir 3 lone", "rename 3 lone 3 away", "open 3 away/key r", "read $2"}, answers: "EACCES|EBUSY EACCES|EBUSY ENOENT EBADF", gone: []string{"data/lone/key"}, bare: "leaks"},
	{name: "protected", tries: "protected names beneath an overlay",
		grants: []string{"overlay data"}, calls: []string{"open 3 repo/.git/config wt", "open 3 repo/.git/hooks/pre-commit wc", "rename 3 repo/.git 3 g", "link 3 repo/.git/config 3 mine", "open 3 .bashrc wc"}, answers: "EACCES EACCES EACCES EACCES EACCES", bare: "changes"},
	{name: "links", tries: "links of the host and of the guest, out of an overlay",
		grants: []string{"overlay data"}, host: links("../outside/key", "data/l", "../outside", "data/d"), calls: []string{"open 3 l r", "read $0", "open 3 d/key r", "open 3 l wt", "open 3 d/new wc", "symlink TOP/outside/key 3 m", "open 3 m r", "link 3 l 3 n"},
		answers: "EPERM EBADF EPERM EPERM EPERM EPERM ENOENT EPERM", bare: "leaks"},
	{name: "hard-link-shares", tries: "to change by one name of a file of the host what its other name shows, outside",
		grants: []string{"overlay data"}, host: func(t testing.TB, top string) {
			must(t, os.Link(filepath.Join(top, "outside/writable"), filepath.Join(top, "data/shared")))
		},
		calls: []string{"open 3 shared wt", "write $0 overwritten", "times 3 shared"}, answers: "ok ok ok", bare: "changes"},
	{name: "names-of-the-layer", tries: "names and attributes by which layers mark what was removed",
		grants: []string{"overlay data"}, calls: []string{"open 3 .wh.pub.txt wc", "open 3 .wh..wh..opq wc", "stat 3 pub.txt", "open 3 pub.txt r", "read $3", "ls 3"}, answers: "- - ok ok ok ok", bare: "the host has no such names"},
}}

// tells are questions whose answers must not depend on what is hidden. The classes
// before hold many more.
var tells = class{"tells", []attempt{
	{name: "outside", tries: "every call on a path outside, with and without something there",
		grants: []string{"write data"}, calls: []string{"open 3 ../outside/key r", "open 3 ../outside/key wcx", "open 3 ../outside/key rd", "stat 3 ../outside/key", "stat 3 ../outside/key n", "mkdir 3 ../outside/key", "rmdir 3 ../outside", "unlink 3 ../outside/key", "readlink 3 ../outside/key",
			"link 3 ../outside/key 3 m", "rename 3 ../outside/key 3 m", "rename 3 pub.txt 3 ../outside/key", "symlink x 3 ../outside/key", "times 3 ../outside/key", "open 6 TOP/outside/key r", "stat 6 TOP/outside", "mkdir 6 TOP/outside", "open 6 TOP/outside/key wcx", "ls 6"},
		answers: "EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM ENOENT ENOENT EACCES|ENOENT EACCES|ENOENT ok", gone: []string{"outside"}, bare: "tells"},
	{name: "denied", tries: "every call on a denied path",
		grants: []string{"write data", "deny data/secret"}, calls: []string{"open 3 secret r", "open 3 secret/key wcx", "open 3 secret/key rd", "stat 3 secret/key", "stat 3 secret n", "mkdir 3 secret", "rmdir 3 secret", "unlink 3 secret/key", "readlink 3 secret/key",
			"link 3 secret/key 3 m", "rename 3 secret 3 m", "rename 3 sub 3 secret", "rename 3 pub.txt 3 secret/key", "symlink x 3 secret", "times 3 secret/key", "times 3 secret", "stat 3 secret/../pub.txt", "open 3 secret/ rd", "mkdir 3 secret/", "rmdir 3 secret/", "ls 3"},
		answers: "ENOENT EACCES|ENOENT ENOENT ENOENT ENOENT EACCES EACCES EACCES|ENOENT ENOENT EACCES|ENOENT EACCES|ENOENT EACCES EACCES|ENOENT EACCES EACCES|ENOENT EACCES|ENOENT ENOENT ENOENT EACCES EACCES ok", gone: []string{"data/secret"}, bare: "tells"},
	{name: "denied-inside", tries: "every call on the directory above denied things",
		grants: []string{"write data", "deny data/lone/key"}, calls: []string{"stat 3 lone", "open 3 lone rd", "ls $1", "fstat $1", "rmdir 3 lone", "rename 3 lone 3 m", "mkdir 3 new", "rename 3 new 3 lone", "rmdir 3 lone/", "unlink 3 lone", "link 3 lone 3 m", "rename 3 pub.txt 3 lone", "link 3 sub/in.txt 3 lone", "symlink x 3 lone", "open 3 lone wcx", "mkdir 3 lone", "times 3 lone", "open 3 lone w"},
		answers: "ok ok ok ok EACCES EACCES ok EACCES EACCES EISDIR EPERM EISDIR EEXIST EEXIST EEXIST EEXIST ok EISDIR", gone: []string{"data/lone/key"}, bare: "tells"},
	{name: "link-above-denied", tries: "to move or replace a link that leads to a denied file, which is kept in its place",
		grants: []string{"write .", "deny data/way/key"}, host: link("lone", "data/way"), calls: []string{"rename 3 data/way 3 data/w", "unlink 3 data/way", "rename 3 data/pub.txt 3 data/way", "stat 3 data/way n", "stat 3 data/lone", "rmdir 3 data/lone", "open 3 data/way/key r"},
		answers: "EACCES EACCES EACCES ok ok EACCES ENOENT", gone: []string{"data/lone/key"}, bare: "tells"},
	{name: "link-to-hidden", tries: "links to what is hidden and to what is missing",
		grants: []string{"write data", "deny data/secret"}, host: links("secret", "data/a", "secret/key", "data/b", "../outside/key", "data/c", "TOP/outside", "data/d"),
		calls:   []string{"stat 3 a", "stat 3 b", "stat 3 c", "stat 3 d", "open 3 a/ rd", "open 3 b wc", "open 3 c wc", "stat 3 a/key", "open 3 d/key r", "mkdir 3 a/new", "stat 3 a n"},
		answers: "ENOENT ENOENT EPERM EPERM ENOENT EACCES|ENOENT EPERM ENOENT EPERM EACCES|ENOENT ok", gone: []string{"data/secret", "outside"}, bare: "tells"},
}}
