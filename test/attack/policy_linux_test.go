package attack

import (
	"path/filepath"
	"strconv"
	"testing"
)

const (
	noReading  = `forbid(principal, action == AgentOS::Action::"read", resource is AgentOS::File) when { resource.path like "*/denied.txt" || resource.path like "*/secret/*" };`
	noChanging = `forbid(principal, action in [AgentOS::Action::"write", AgentOS::Action::"create", AgentOS::Action::"delete"], resource is AgentOS::File) when { resource.path like "*/ro/*" };`
)

// policies are attempts to do what only a policy forbids. A policy goes by the path, so
// that the ways round it are other paths.
var policies = class{"policies", []attempt{
	{name: "plain", tries: "what a policy forbids, by its name and other spellings",
		grants: []string{"read data"}, policy: noReading, calls: []string{"open 3 denied.txt r", "open 3 ./sub/..//denied.txt r", "open 3 secret/key r", "open 6 TOP/data/denied.txt r", "stat 3 denied.txt", "read $0"},
		answers: "ENOENT ENOENT ENOENT ENOENT ENOENT EBADF", bare: "leaks"},
	{name: "mapped", tries: "the same under another guest name",
		grants: []string{"read data:/x", "read data/secret:/y"}, policy: noReading, calls: []string{"open 3 denied.txt r", "open 4 key r", "open 7 x/secret/key r", "read $1"}, answers: "ENOENT ENOENT ENOENT EBADF", bare: "leaks"},
	{name: "link", tries: "the same through links",
		grants: []string{"read data"}, policy: noReading, host: links("denied.txt", "data/l", "secret", "data/d"), calls: []string{"open 3 l r", "open 3 d/key r", "read $0"}, answers: "ENOENT ENOENT EBADF", bare: "leaks"},
	{name: "rename-file", tries: "to move what may not be read to a name that may",
		grants: []string{"write data"}, policy: noReading, calls: []string{"rename 3 denied.txt 3 mine", "open 3 mine r", "read $1"}, answers: "EACCES ENOENT EBADF", bare: "leaks"},
	{name: "link-file", tries: "to give what may not be read a name that may",
		grants: []string{"write data"}, policy: noReading, calls: []string{"link 3 denied.txt 3 mine", "open 3 mine r", "read $1"}, answers: "EACCES ENOENT EBADF", bare: "leaks"},
	{name: "rename-parent", tries: "to move the directory that a policy names, and read what is in it",
		grants: []string{"write data"}, policy: noReading, calls: []string{"rename 3 secret 3 s", "open 3 s/key r", "read $1", "open 3 s/dir/key r"}, answers: "EACCES ENOENT EBADF ENOENT", bare: "leaks"},
	{name: "rename-parent-of-secrets", tries: "the same with the policy that comes along",
		grants: []string{"write data"}, policy: "builtin:no-secrets", host: func(t testing.TB, top string) { put(t, filepath.Join(top, "data/.cargo/credentials.toml"), canary) },
		calls: []string{"rename 3 .cargo 3 c", "open 3 c/credentials.toml r", "read $1", "open 3 .cargo/credentials.toml r"}, answers: "EACCES ENOENT EBADF ENOENT", bare: "leaks"},
	{name: "rename-handle", tries: "the same through a handle of the directory",
		grants: []string{"write data"}, policy: noReading, calls: []string{"open 3 secret rd", "rename 3 secret 3 s", "open $0 key r", "read $2", "rename $0 key 3 mine", "open 3 mine r"}, answers: "ok EACCES ENOENT EBADF EACCES ENOENT", bare: "leaks"},
	{name: "change-by-parent", tries: "to change what may not be by moving the directory above",
		grants: []string{"write data"}, policy: noChanging, calls: []string{"rename 3 ro 3 r", "open 3 r/in.txt wt", "unlink 3 r/in.txt", "open 3 ro/in.txt wt"}, answers: "EACCES ENOENT ENOENT EACCES", bare: "changes"},
	{name: "replace", tries: "to replace what may not be written, where creating is allowed",
		grants: []string{"write data"}, policy: `forbid(principal, action in [AgentOS::Action::"write", AgentOS::Action::"delete"], resource is AgentOS::File) when { resource.path like "*/ro/*" };`,
		calls: []string{"rename 3 pub.txt 3 ro/in.txt", "unlink 3 ro/in.txt", "open 3 ro/in.txt wct"}, answers: "EACCES EACCES EACCES", bare: "changes"},
	{name: "write-new", tries: "to write a file that may not be written, by creating it",
		grants: []string{"write data"}, policy: `forbid(principal, action == AgentOS::Action::"write", resource is AgentOS::File) when { resource.path like "*/ro/*" };`,
		calls: []string{"open 3 ro/new wc", "open 3 ro/new wcx", "open 3 n wc", "write $2 x", "rename 3 n 3 ro/new", "link 3 n 3 ro/new"}, answers: "EACCES EACCES ok ok EACCES EACCES", bare: "changes"},
	{name: "move-in", tries: "to have a directory of one's own where nothing may be created, filled beforehand",
		grants: []string{"write data"}, policy: `forbid(principal, action == AgentOS::Action::"create", resource is AgentOS::File) when { resource.path like "*/bin/*" };`,
		calls: []string{"mkdir 3 b", "open 3 b/evil wc", "rename 3 b 3 bin", "stat 3 bin/evil", "open 3 bin/evil r"}, answers: "ok ok EACCES ENOENT ENOENT", bare: "what it makes is not in the digest"},
	{name: "rename-large", tries: "to move a forbidden file within a directory that holds more than is looked at",
		grants: []string{"write data"}, policy: noReading, host: func(t testing.TB, top string) {
			for i := range 1100 {
				put(t, filepath.Join(top, "data/big", strconv.Itoa(i)), "")
			}
			put(t, filepath.Join(top, "data/big/z/secret/key"), canary)
		},
		calls: []string{"rename 3 big/z 3 z", "rename 3 z/secret 3 s", "rename 3 big 3 b", "open 3 s/key r", "read $3"}, answers: "ok EACCES EXDEV ENOENT EBADF", bare: "leaks"},
	{name: "overlay", tries: "the same beneath an overlay, where moving copies",
		grants: []string{"overlay data"}, policy: noReading, calls: []string{"rename 3 secret 3 s", "open 3 s/key r", "read $1", "link 3 denied.txt 3 mine", "rename 3 denied.txt 3 mine", "open 3 mine r"}, answers: "EACCES ENOENT EBADF EACCES EACCES ENOENT", bare: "leaks"},
}}
