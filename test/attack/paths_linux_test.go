package attack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var long = strings.Repeat("x", 255)

var traversal = class{"traversal", []attempt{
	{name: "parent", tries: "`..` out of a pre-opened directory",
		grants: []string{"read data"}, calls: []string{"open 3 ../outside/key r", "read $0"}, answers: "EPERM EBADF",
		gone: []string{"outside/key"}, bare: "leaks"},
	{name: "parent-after-child", tries: "down and then further up",
		grants: []string{"read data"}, calls: []string{"open 3 sub/deep/../../../outside/key r", "read $0"}, answers: "EPERM EBADF",
		gone: []string{"outside/key"}, bare: "leaks"},
	{name: "parent-many", tries: "more `..` than there are directories, and down again from the root",
		grants:  []string{"read data"},
		calls:   []string{`open 3 "` + strings.Repeat("../", 64) + `TOP/outside/key" r`, "read $0"},
		answers: "EPERM EBADF", gone: []string{"outside/key"}, bare: "leaks"},
	{name: "slashes", tries: "doubled slashes and dots between",
		grants: []string{"read data"}, calls: []string{`open 3 ".//.//sub/.//..//./..///outside//./key" r`, "read $0"}, answers: "EPERM EBADF",
		gone: []string{"outside/key"}, bare: "leaks"},
	{name: "trailing", tries: "slash and dot behind the last component",
		grants: []string{"read data"}, calls: []string{`open 3 "../outside/" r`, "open $0 key r", "read $1", `open 3 "../outside/." r`}, answers: "EPERM EBADF EBADF EPERM",
		gone: []string{"outside"}, bare: "leaks"},
	{name: "absolute", tries: "an absolute path from a directory that is not the root",
		grants: []string{"read data"}, calls: []string{`open 3 "TOP/outside/key" r`, "read $0"}, answers: "EPERM EBADF",
		gone: []string{"outside/key"}, bare: "leaks"},
	{name: "absolute-slashes", tries: "the same with three slashes in front",
		grants: []string{"read data"}, calls: []string{`open 3 "//TOP/outside/key" r`, "read $0"}, answers: "EPERM EBADF",
		gone: []string{"outside/key"}, bare: "leaks"},
	{name: "from-root", tries: "the whole path from the guest's root",
		grants: []string{"read data"}, calls: []string{`open 6 "TOP/outside/key" r`, `open 6 "../../TOP/outside/key" r`, `open 6 "TOP/data/../outside/key" r`, "read $0"},
		answers: "ENOENT EPERM ENOENT EBADF", gone: []string{"outside/key"}, bare: "leaks"},
	{name: "prefix", tries: "a sibling whose name begins like the grant's",
		grants: []string{"read data"}, host: func(t testing.TB, top string) { put(t, filepath.Join(top, "data2/key"), canary) },
		calls: []string{`open 3 "../data2/key" r`, `open 6 "TOP/data2/key" r`, "read $1"}, answers: "EPERM ENOENT EBADF",
		gone: []string{"data2"}, bare: "leaks"},
	{name: "nul", tries: "a NUL that ends the name for the host and not for a check",
		grants: []string{"read data", "deny data/denied.txt"}, calls: []string{`open 3 "denied.txt\x00.png" r`, `open 3 "../outside/key\x00" r`, `stat 3 "\x00"`},
		answers: "EINVAL|EILSEQ EINVAL|EILSEQ EINVAL|EILSEQ", bare: "Go's own calls refuse a NUL"},
	{name: "long-name", tries: "a component of 256 bytes before the way out",
		grants: []string{"read data"}, calls: []string{`open 3 "x` + long + `/../../outside/key" r`, `stat 3 "` + long + `/../../outside/key"`, `mkdir 3 "x` + long + `"`},
		answers: "ENAMETOOLONG ENOENT EACCES|ENAMETOOLONG", gone: []string{"outside/key"}, bare: "the host refuses it as well"},
	{name: "long-path", tries: "a path of 5,000 bytes whose beginning is fine",
		grants: []string{"read data"}, calls: []string{`open 3 "` + strings.Repeat("./", 2500) + `../outside/key" r`, `open 3 "` + strings.Repeat("sub/../", 584) + `../outside/key" r`},
		answers: "ENAMETOOLONG EPERM|ENAMETOOLONG", bare: "the host refuses it as well"},
	{name: "long-path-cut", tries: "a path that is a denied one when it is cut at 4,096 bytes",
		grants:  []string{"read data", "deny data/secret"},
		calls:   []string{`open 3 "` + strings.Repeat("/", 1) + `secret/key` + strings.Repeat("/", 4090) + `" r`, `open 3 "` + strings.Repeat("./", 2043) + `secret/key" r`},
		answers: "ENAMETOOLONG|EPERM ENOENT|ENAMETOOLONG", gone: []string{"data/secret"}, bare: "the host refuses it as well"},
	{name: "invalid-utf8", tries: "bytes that are no text",
		grants: []string{"read data"}, calls: []string{`open 3 "\xff\xfe/../../outside/key" r`, `open 3 "..\xc0\xafoutside\xc0\xafkey" r`},
		answers: "EILSEQ EILSEQ", bare: "the host knows no other spelling of a slash"},
	{name: "overlong-utf8", tries: "dots and slashes in other encodings",
		grants: []string{"read data"}, calls: []string{`open 3 "\xc0\xae\xc0\xae/outside/key" r`, `open 3 "%2e%2e/outside/key" r`, `open 3 "..\\outside\\key" r`, `open 3 "\uff0e\uff0e/outside/key" r`},
		answers: "EILSEQ ENOENT ENOENT ENOENT", bare: "the host knows no other spelling of a dot"},
	{name: "empty", tries: "empty paths",
		grants: []string{"write data"}, calls: []string{`open 3 "" r`, `stat 3 ""`, `unlink 3 ""`, `rename 3 "" 3 x`, `link 3 "" 3 x`, `mkdir 3 ""`, `symlink "" 3 x`},
		answers: "ENOENT ENOENT ENOENT ENOENT ENOENT ENOENT ENOENT", bare: "the host refuses it as well"},
	{name: "make-outside", tries: "to make, change, and remove things above the grant",
		grants: []string{"write data"}, calls: []string{"open 3 ../outside/new wc", "mkdir 3 ../outside/d", "unlink 3 ../outside/key", "times 3 ../outside/key", "symlink x 3 ../outside/l", "rmdir 3 ../outside/none"},
		answers: "EPERM EPERM EPERM EPERM EPERM EPERM", gone: []string{"outside/none"}, bare: "changes"},
	{name: "rename-outside", tries: "to move a file out and one in",
		grants: []string{"write data"}, calls: []string{"rename 3 pub.txt 3 ../outside/new", "rename 3 ../outside/key 3 mine", "rename 3 .. 3 up", "rename 3 . 3 up"},
		answers: "EPERM EPERM EPERM EBUSY|EINVAL", bare: "changes"},
	{name: "file-as-directory", tries: "a walk through a file, whose parent is outside",
		grants: []string{"read data"}, calls: []string{"open 3 pub.txt/../../outside/key r", "stat 3 pub.txt/..", "open 3 pub.txt/ r"},
		answers: "ENOTDIR ENOTDIR ENOTDIR", bare: "the host refuses it as well"},
	{name: "missing-then-up", tries: "up through a directory that does not exist",
		grants: []string{"read data"}, calls: []string{"open 3 none/../../outside/key r", "open 3 none/../pub.txt r"},
		answers: "ENOENT ENOENT", gone: []string{"outside/key"}, bare: "the host refuses it as well"},
	{name: "file-grant", tries: "the neighbours of a file that is granted alone",
		grants: []string{"read data/pub.txt"}, calls: []string{"open 3 denied.txt r", "open 3 sub/in.txt r", "ls 3", "read $0", "open 3 pub.txt r", "open 3 pub.txt w"},
		answers: "ENOENT ENOENT ok EBADF ok EACCES", gone: []string{"data/denied.txt", "data/sub"}, bare: "leaks"},
	{name: "up-from-nested", tries: "up from a nested grant into what stands above it",
		grants: []string{"read data/sub", "read data/ro"}, calls: []string{"open 3 ../denied.txt r", "open 7 TOP/data/denied.txt r", "open 7 TOP/data r", "ls $2", "read $0"},
		answers: "EPERM ENOENT ok ok EBADF", gone: []string{"data/denied.txt"}, bare: "leaks"},
}}

func link(target, name string) func(testing.TB, string) {
	return func(t testing.TB, top string) {
		must(t, os.Symlink(strings.ReplaceAll(target, "TOP", top), filepath.Join(top, name)))
	}
}

func links(pairs ...string) func(testing.TB, string) {
	return func(t testing.TB, top string) {
		for i := 0; i < len(pairs); i += 2 {
			link(pairs[i], pairs[i+1])(t, top)
		}
	}
}

var symlinks = class{"symlinks", []attempt{
	{name: "absolute", tries: "a link of the host to a file outside",
		grants: []string{"read data"}, host: link("TOP/outside/key", "data/l"), calls: []string{"open 3 l r", "read $0", "stat 3 l", "open 6 TOP/data/l r"},
		answers: "EPERM EBADF EPERM ENOENT", gone: []string{"outside/key"}, bare: "leaks"},
	{name: "relative", tries: "a link that climbs out",
		grants: []string{"read data"}, host: link("../outside/key", "data/l"), calls: []string{"open 3 l r", "read $0", "open 6 TOP/data/l r"},
		answers: "EPERM EBADF ENOENT", gone: []string{"outside/key"}, bare: "leaks"},
	{name: "directory", tries: "a link to a directory outside, on the way",
		grants: []string{"read data"}, host: link("../outside", "data/l"), calls: []string{"open 3 l/key r", "read $0", "open 3 l/ r", "open 3 l/. r", "open 3 l/../outside/key r"},
		answers: "EPERM EBADF EPERM EPERM EPERM", gone: []string{"outside/key"}, bare: "leaks"},
	{name: "chain", tries: "links that lead to each other, the last one out",
		grants: []string{"read data"}, host: links("b", "data/a", "sub/c", "data/b", "../d", "data/sub/c", "../outside/key", "data/d"),
		calls: []string{"open 3 a r", "read $0"}, answers: "EPERM EBADF", gone: []string{"outside/key"}, bare: "leaks"},
	{name: "loop", tries: "links that lead in a circle",
		grants: []string{"read data"}, host: links("b", "data/a", "a", "data/b", "self/self", "data/self"),
		calls: []string{"open 3 a r", "stat 3 a", "open 3 self/x r", "open 3 a wc"}, answers: "ELOOP ELOOP ELOOP ELOOP|EACCES", bare: "the host refuses it as well"},
	{name: "too-many", tries: "forty-one links in one walk, after which a check might give up",
		grants: []string{"read data"}, host: func(t testing.TB, top string) {
			link("../outside/key", "data/l0")(t, top)
			for i := range 45 {
				link("l"+string(rune('0'+i%10)), "data/m"+string(rune('A'+i)))(t, top)
			}
			link("mA", "data/l1")(t, top)
		},
		calls: []string{"open 3 l1 r", "read $0"}, answers: "EPERM EBADF", bare: "leaks"},
	{name: "to-denied", tries: "a link inside the grant to what is denied",
		grants: []string{"read data", "deny data/secret"}, host: links("secret/key", "data/l", "secret", "data/d", "TOP/data/secret/key", "data/a"),
		calls: []string{"open 3 l r", "open 3 d/key r", "open 3 a r", "read $0", "stat 3 l", "ls $1"}, answers: "ENOENT ENOENT ENOENT EBADF ENOENT EBADF",
		gone: []string{"data/secret"}, bare: "leaks"},
	{name: "made-by-guest", tries: "a link that the guest makes itself, and follows",
		grants: []string{"write data"}, calls: []string{"symlink ../outside/key 3 l", "open 3 l r", "read $1", "symlink TOP/outside/key 3 m", "open 3 m r", "symlink ../../outside 3 sub/n", "open 3 sub/n/key r"},
		answers: "ok EPERM EBADF EPERM ENOENT ok EPERM", gone: []string{"outside/key"}, bare: "leaks"},
	{name: "create-through", tries: "to create the file that a dangling link points to, outside",
		grants: []string{"write data"}, host: links("../outside/new", "data/l", "TOP/outside/new2", "data/m"),
		calls: []string{"open 3 l wc", "open 3 m wc", "open 3 l wcx", "open 3 l wct", "open 3 l wcn"}, answers: "EPERM EPERM EEXIST EPERM ELOOP", bare: "changes"},
	{name: "truncate-through", tries: "to truncate a file outside through a link",
		grants: []string{"write data"}, host: link("../outside/writable", "data/l"), calls: []string{"open 3 l wt", "open 3 l wct", "open 3 l wa", "open 3 l r"},
		answers: "EPERM EPERM EPERM EPERM", bare: "changes"},
	{name: "truncate-denied-through", tries: "to truncate what is denied through a link",
		grants: []string{"write data", "deny data/denied.txt"}, host: link("denied.txt", "data/l"), calls: []string{"open 3 l wt", "open 3 l wct", "times 3 l", "link 3 l 3 m"},
		answers: "EACCES EACCES EACCES|ENOENT EACCES|ENOENT", gone: []string{"data/denied.txt"}, bare: "changes"},
	{name: "create-denied-through", tries: "to create a denied file through a link that dangles there",
		grants: []string{"write data", "deny data/secret"}, host: link("secret/new", "data/l"), calls: []string{"open 3 l wc", "open 3 l wcx"},
		answers: "EACCES|ENOENT EEXIST", gone: []string{"data/secret"}, bare: "changes"},
	{name: "write-read-only-through", tries: "to write what is granted for reading through a link in what may be written",
		grants: []string{"write data", "read data/ro"}, host: links("ro/in.txt", "data/l", "ro", "data/d"),
		calls: []string{"open 3 l w", "open 3 d/in.txt w", "open 3 d/new wc", "unlink 3 d/in.txt", "times 3 l", "open 4 in.txt w"}, answers: "EACCES EACCES EACCES EACCES EACCES EACCES", bare: "changes"},
	{name: "protected-through", tries: "to write a hook through a link to the directory of the repository",
		grants: []string{"write data"}, host: links("repo/.git", "data/g", ".git/hooks", "data/repo/h", "repo/.git/config", "data/c"),
		calls: []string{"open 3 g/hooks/new wc", "open 3 repo/h/new wc", "open 3 c wt", "open 3 g/config wa"}, answers: "EACCES EACCES EACCES EACCES", bare: "changes"},
	{name: "readlink-outside", tries: "to read where links lead, of what is not granted",
		grants: []string{"read data", "deny data/secret"}, host: links(canary, "outside/l", canary, "data/secret/l"),
		calls: []string{"readlink 3 ../outside/l", "readlink 3 secret/l", "readlink 6 TOP/outside/l"}, answers: "EPERM ENOENT ENOENT",
		gone: []string{"outside/l", "data/secret"}, bare: "leaks"},
	{name: "directory-link-slash", tries: "a link to a directory outside with a slash behind, which follows it always",
		grants: []string{"write data"}, host: link("../outside/dir", "data/l"), calls: []string{"open 3 l/ rn", "rmdir 3 l/", "stat 3 l/ n", "rename 3 l/ 3 m", "mkdir 3 l/new", "ls $0"},
		answers: "EPERM ENOTDIR|EPERM EPERM ENOTDIR EPERM EBADF", bare: "changes"},
	{name: "to-other-grant", tries: "a link from one grant into another that its directory does not reach",
		grants: []string{"read data", "read other"}, host: link("../other/in.txt", "data/l"), calls: []string{"open 3 l r", "open 3 ../other/in.txt r", "open 7 TOP/data/l r"},
		answers: "EPERM EPERM ok", bare: "what the other grant shows may be seen"},
	{name: "dot-dot-behind-link", tries: "`..` after a link, which goes up from where the link leads",
		grants: []string{"read data", "deny data/denied.txt"}, host: link("sub/deep", "data/l"),
		calls: []string{"open 3 l/../../denied.txt r", "open 3 l/../../../outside/key r", "open 3 l/../in.txt r", "read $0"}, answers: "ENOENT EPERM ok EBADF",
		gone: []string{"data/denied.txt"}, bare: "leaks"},
	{name: "grant-is-link", tries: "a grant named by a link: what is beside its target",
		grants: []string{"read l"}, host: link("data/sub", "l"), calls: []string{"open 3 ../denied.txt r", "open 3 in.txt r", "read $0"}, answers: "EPERM ok EBADF",
		bare: "leaks"},
}}

var hardLinks = class{"hard-links", []attempt{
	{name: "of-denied", tries: "another name for a denied file",
		grants: []string{"write data", "deny data/denied.txt"}, calls: []string{"link 3 denied.txt 3 mine", "open 3 mine r", "read $1"}, answers: "EACCES ENOENT EBADF",
		gone: []string{"data/denied.txt"}, bare: "leaks"},
	{name: "of-outside", tries: "another name for a file outside",
		grants: []string{"write data"}, calls: []string{"link 3 ../outside/key 3 mine", "open 3 mine r", "read $1"}, answers: "EPERM ENOENT EBADF", gone: []string{"outside/key"}, bare: "leaks"},
	{name: "of-read-only", tries: "a name in a write grant for a file of a read grant, to write it by",
		grants: []string{"write data", "read data/ro"}, calls: []string{"link 3 ro/in.txt 3 mine", "open 3 mine w", "write $1 overwritten", "link 4 in.txt 3 mine2"},
		answers: "EACCES ENOENT EBADF EACCES", bare: "changes"},
	{name: "of-protected", tries: "another name for a protected file, to write it by",
		grants: []string{"write data"}, calls: []string{"link 3 repo/.git/config 3 mine", "open 3 mine w", "write $1 overwritten", "link 3 repo/.git/hooks/old 3 h"},
		answers: "EACCES ENOENT EBADF EACCES", bare: "changes"},
	{name: "onto-protected", tries: "a protected name for a file of the guest's own",
		grants: []string{"write data"}, calls: []string{"open 3 mine wc", "link 3 mine 3 repo/.git/hooks/post-checkout", "link 3 mine 3 .mcp.json", "link 3 mine 3 .git"},
		answers: "ok EACCES EACCES EACCES", bare: "changes"},
	{name: "into-denied", tries: "a name in a denied directory",
		grants: []string{"write data", "deny data/secret"}, calls: []string{"link 3 pub.txt 3 secret/new", "link 3 pub.txt 3 secret/key"}, answers: "ENOENT|EACCES ENOENT|EACCES",
		gone: []string{"data/secret"}, bare: "changes"},
	{name: "of-link-followed", tries: "the target of a link, followed while linking",
		grants: []string{"write data"}, host: link("../outside/key", "data/l"), calls: []string{"link 3 l 3 mine", "open 3 mine r", "read $1", "link 3 l 3 second n", "open 3 second r"},
		answers: "EPERM ENOENT EBADF ok EPERM", gone: []string{"outside/key"}, bare: "leaks"},
	{name: "made-by-host", tries: "a second name that the host had given a denied file before the run",
		grants: []string{"read data", "deny data/denied.txt"}, host: func(t testing.TB, top string) {
			must(t, os.Link(filepath.Join(top, "data/denied.txt"), filepath.Join(top, "data/second")))
		},
		calls: []string{"open 3 second r", "read $0", "stat 3 second"}, answers: "ENOENT EBADF ENOENT", bare: "leaks"},
	{name: "made-by-host-in-other", tries: "the same, in another grant",
		grants: []string{"read data", "write other", "deny data/denied.txt"}, host: func(t testing.TB, top string) {
			must(t, os.Link(filepath.Join(top, "data/denied.txt"), filepath.Join(top, "other/second")))
		},
		calls: []string{"open 4 second r", "read $0", "open 4 second w", "rename 4 second 4 third", "unlink 4 second"}, answers: "ENOENT EBADF ENOENT|EACCES ENOENT|EACCES ENOENT|EACCES", bare: "leaks"},
}}
