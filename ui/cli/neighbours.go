package cli

import "sort"

// neighbour answers a flag of another tool.
type neighbour struct {
	Name   string // without dashes; one letter is a shorthand
	Answer string // completes "is not a flag of agentos run; …"
	NotYet bool   // a flag of ours, of a later version
}

// neighbours are the spellings of tools that people come from: container
// engines, Deno and Node, WebAssembly runtimes, bubblewrap, firejail, systemd-run
// and timeout; and, marked, our own flags that do not exist yet.
func neighbours() []neighbour {
	const (
		mount   = "grant a path with --read HOST:GUEST or --write HOST:GUEST"
		network = "a program has no network but the ports that --listen names, so leave it out"
		clean   = "every run is cleaned up when it ends, so leave it out"
		none    = "there is no such grant: name the paths with --read and --write"
		floor   = "a program has no rights to add or drop this way; capabilities are granted with --allow, see agentos syscalls"
		ids     = "a program has no user ids of its own, so leave it out"
		always  = "it is always so, so leave it out"
	)
	return []neighbour{
		// Container engines.
		{Name: "v", Answer: mount + " (the version is agentos version)"},
		{Name: "volume", Answer: mount}, {Name: "mount", Answer: mount}, {Name: "volumes-from", Answer: mount},
		{Name: "it", Answer: "a terminal is passed through by itself; -t forces it, so leave -i out"},
		{Name: "i", Answer: "standard input is always passed on, so leave -i out"},
		{Name: "interactive", Answer: "standard input is always passed on, so leave it out"},
		{Name: "rm", Answer: clean},
		{Name: "d", Answer: "a run stays in the foreground; let your shell put it in the background with &"},
		{Name: "detach", Answer: "a run stays in the foreground; let your shell put it in the background with &"},
		{Name: "network", Answer: network}, {Name: "p", Answer: network}, {Name: "publish", Answer: network},
		{Name: "dns", Answer: network}, {Name: "add-host", Answer: network}, {Name: "hostname", Answer: network},
		{Name: "workdir", Answer: "write --cwd PATH"},
		{Name: "env-file", Answer: "write --env KEY=VALUE for each variable, or an [env] table in a --manifest"},
		{Name: "m", Answer: "write --memory SIZE"}, {Name: "mem", Answer: "write --memory SIZE"},
		{Name: "memory-limit", Answer: "write --memory SIZE"}, {Name: "max-memory", Answer: "write --memory SIZE"}, {Name: "memory-swap", Answer: "write --memory SIZE"},
		{Name: "cpu", Answer: "write --cpus N, or --cpu-time DURATION for processor time"}, {Name: "cpu-shares", Answer: "write --priority 0..10"},
		{Name: "cpuset-cpus", Answer: "write --cpus N"}, {Name: "pids-limit", Answer: "write --pids N"}, {Name: "max-procs", Answer: "write --pids N"},
		{Name: "ulimit", Answer: "write --files N, --pids N, --cpu-time DURATION, or --output SIZE"}, {Name: "storage-opt", Answer: "write --disk SIZE"},
		{Name: "tmpfs", Answer: "/tmp is private and in memory already; --disk SIZE bounds it"},
		{Name: "read-only", Answer: "everything is read-only or absent unless it is granted with --write, so leave it out"},
		{Name: "privileged", Answer: floor}, {Name: "cap-add", Answer: "write --allow CAPABILITY; agentos syscalls lists them"}, {Name: "cap-drop", Answer: floor},
		{Name: "security-opt", Answer: floor}, {Name: "device", Answer: "devices of the host are never visible"},
		{Name: "user", Answer: ids}, {Name: "u", Answer: ids}, {Name: "uid", Answer: ids}, {Name: "gid", Answer: ids}, {Name: "userns", Answer: ids},
		{Name: "entrypoint", Answer: "name the program as PROGRAM, after the flags"}, {Name: "pull", Answer: "there are no images; PROGRAM is a file"},
		{Name: "stop-timeout", Answer: "write --kill-after DURATION"}, {Name: "cidfile", Answer: "--report FILE has the run's id"},
		{Name: "label", Answer: "write --name NAME"}, {Name: "l", Answer: "write --name NAME"},
		// Deno and Node.
		{Name: "allow-read", Answer: "write --read PATH for each path"}, {Name: "allow-write", Answer: "write --write PATH for each path"},
		{Name: "allow-fs-read", Answer: "write --read PATH for each path"}, {Name: "allow-fs-write", Answer: "write --write PATH for each path"},
		{Name: "allow-env", Answer: "write --env KEY for each variable"}, {Name: "allow-net", Answer: network},
		{Name: "allow-run", Answer: "a program cannot start others in this version, so leave it out"}, {Name: "allow-child-process", Answer: "a program cannot start others in this version, so leave it out"},
		{Name: "allow-all", Answer: none}, {Name: "A", Answer: none}, {Name: "allow-sys", Answer: "write --allow CAPABILITY; agentos syscalls lists them"},
		{Name: "allow-ffi", Answer: "a program can load no foreign code"}, {Name: "deny-read", Answer: "write --deny PATH"}, {Name: "deny-write", Answer: "write --deny PATH"},
		{Name: "deny-net", Answer: network}, {Name: "no-prompt", Answer: "nothing is ever asked in this version, so leave it out"},
		// WebAssembly runtimes.
		{Name: "dir", Answer: mount}, {Name: "mapdir", Answer: mount + " (the host's path comes first)"},
		{Name: "preopen", Answer: mount}, {Name: "tcplisten", Answer: network},
		{Name: "fuel", Answer: "write --cpu-time DURATION"}, {Name: "invoke", Answer: "a program is run from its _start export"},
		{Name: "wasm-timeout", Answer: "write --timeout DURATION"}, {Name: "W", Answer: "write --timeout, --memory, or --cpu-time"}, {Name: "S", Answer: "the WASI interface needs no options, so leave it out"},
		{Name: "env-inherit", Answer: "write --env KEY for each variable"}, {Name: "cache-dir", Answer: "the cache is in the state directory; $AGENTOS_STATE names another"},
		// bubblewrap and firejail.
		{Name: "bind", Answer: "write --write HOST:GUEST"}, {Name: "bind-try", Answer: "write --write HOST:GUEST"}, {Name: "rw-bind", Answer: "write --write HOST:GUEST"},
		{Name: "ro-bind", Answer: "write --read HOST:GUEST"}, {Name: "ro-bind-try", Answer: "write --read HOST:GUEST"}, {Name: "dev-bind", Answer: "devices of the host are never visible; write --write HOST:GUEST for files"},
		{Name: "proc", Answer: always}, {Name: "dev", Answer: always}, {Name: "unshare-all", Answer: always}, {Name: "unshare-net", Answer: always}, {Name: "unshare-pid", Answer: always},
		{Name: "share-net", Answer: network}, {Name: "die-with-parent", Answer: always}, {Name: "new-session", Answer: always}, {Name: "clearenv", Answer: always},
		{Name: "setenv", Answer: "write --env KEY=VALUE"}, {Name: "unsetenv", Answer: "no variable is passed on unless --env names it, so leave it out"}, {Name: "chdir", Answer: "write --cwd PATH"},
		{Name: "whitelist", Answer: "write --write PATH"}, {Name: "blacklist", Answer: "write --deny PATH"}, {Name: "noblacklist", Answer: none}, {Name: "private", Answer: always},
		{Name: "noprofile", Answer: "no profile is loaded unless --manifest names it, so leave it out"}, {Name: "ro", Answer: "write --read PATH"}, {Name: "rw", Answer: "write --write PATH"},
		// timeout, nice, and the like.
		{Name: "k", Answer: "write --kill-after DURATION"}, {Name: "s", Answer: "the signal of --timeout cannot be chosen"}, {Name: "nice", Answer: "write --priority 0..10"}, {Name: "n", Answer: "write --priority 0..10, or --dry-run"},
		{Name: "time-limit", Answer: "write --timeout DURATION"}, {Name: "max-time", Answer: "write --timeout DURATION"}, {Name: "wall-time", Answer: "write --timeout DURATION"},
		{Name: "verbose", Answer: "write --events FILE or --report FILE to see more"}, {Name: "debug", Answer: "write --events FILE to see every call"}, {Name: "output-limit", Answer: "write --output SIZE"},
		{Name: "o", Answer: "write --report FILE, or --output SIZE for a limit"}, {Name: "c", Answer: "name the program and its arguments after the flags, without a shell"},
		{Name: "config", Answer: "write --manifest FILE"}, {Name: "profile", Answer: "write --manifest FILE"}, {Name: "f", Answer: "write --manifest FILE"},
		{Name: "workspace", Answer: "write --write PATH"}, {Name: "allow-path", Answer: "write --read PATH or --write PATH"},
		// Ours, later.
		{Name: "net", NotYet: true, Answer: network},
		{Name: "ask", NotYet: true, Answer: "what is not granted is refused and listed at the end, with the flag that grants it"},
		{Name: "learn", NotYet: true, Answer: "the denials listed at the end of a run name the grants it wanted"},
		{Name: "mode", NotYet: true, Answer: "it belongs to the native domain; WebAssembly programs are always mediated"},
	}
}

// otherCommand answers a command that this version does not have.
type otherCommand struct {
	Name, Answer string
	NotYet       bool
}

func otherCommands() []otherCommand {
	return []otherCommand{
		{Name: "exec", Answer: "write agentos run PROGRAM"}, {Name: "start", Answer: "write agentos run PROGRAM"}, {Name: "create", Answer: "write agentos run PROGRAM"},
		{Name: "stop", Answer: "write agentos kill RUN"}, {Name: "terminate", Answer: "write agentos kill RUN"},
		{Name: "ls", Answer: "write agentos ps for what runs now, or agentos runs for what ran"}, {Name: "list", Answer: "write agentos ps for what runs now, or agentos runs for what ran"},
		{Name: "rm", Answer: "write agentos prune"}, {Name: "clean", Answer: "write agentos prune"}, {Name: "gc", Answer: "write agentos prune"},
		{Name: "inspect", Answer: "write agentos report RUN"}, {Name: "show", Answer: "write agentos report RUN"}, {Name: "logs", Answer: "output is not kept: redirect it; agentos report RUN has the record"},
		{Name: "history", Answer: "write agentos runs"}, {Name: "info", Answer: "write agentos doctor"}, {Name: "check", Answer: "write agentos doctor"},
		{Name: "capabilities", Answer: "write agentos syscalls"}, {Name: "build", Answer: "programs are compiled by their own tools, e.g. GOOS=wasip1 GOARCH=wasm go build"},
		{Name: "pull", Answer: "there are no images; agentos run takes a file"}, {Name: "images", Answer: "there are no images; agentos run takes a file"},
		{Name: "top", NotYet: true, Answer: "agentos ps lists what runs"},
		{Name: "learn", NotYet: true, Answer: "agentos report lists denials with the flags that grant them"}, {Name: "events", NotYet: true, Answer: "agentos run --events FILE writes them"},
		{Name: "trace", NotYet: true, Answer: "agentos run --events FILE writes every event"}, {Name: "bench", NotYet: true, Answer: "make bench measures, from the source"}, {Name: "daemon", NotYet: true, Answer: "every run has its own kernel"}, {Name: "serve", NotYet: true, Answer: "every run has its own kernel"}, {Name: "mcp", NotYet: true, Answer: "every run has its own kernel"},
	}
}

// neighbourOf looks a flag up.
func neighbourOf(name string) (neighbour, bool) {
	all := neighbours()
	for _, n := range all {
		if n.Name == name {
			return n, true
		}
	}
	return neighbour{}, false
}

// otherCommandOf looks a command up.
func otherCommandOf(name string) (otherCommand, bool) {
	for _, o := range otherCommands() {
		if o.Name == name {
			return o, true
		}
	}
	return otherCommand{}, false
}

// sorted returns s in order, for documents.
func sorted(s []string) []string {
	sort.Strings(s)
	return s
}
