package seccomp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Options are what may differ between filters. The zero value is the floor
// behind namespaces, without notifications.
type Options struct {
	// Gate has every execve and execveat notified instead of allowed.
	Gate bool
	// Notify are the numbers of further calls that are notified where they would
	// be allowed. What the table refuses stays refused: a call of which nothing
	// is allowed is an error here.
	Notify []uint32
	// Deny are the numbers of calls that are refused (ENOSYS) whatever the table says.
	Deny []uint32
	// NoNamespaces also refuses what otherwise a namespace would stop.
	NoNamespaces bool
	// Metadata, with NoNamespaces, leaves changes of mode, owner, times, and
	// attributes by path alone. Compilers, tar, and git need them; they then reach
	// every file of the user, granted or not, since Landlock does not restrict
	// them. Set-user-ID bits stay refused.
	Metadata bool
}

// ErrArchitecture is Assemble's on an architecture that has no table.
var ErrArchitecture = errors.New("no table of system calls for this architecture")

// maxFilter is the kernel's bound on the instructions of a filter.
const maxFilter = 4096

// The offsets of struct seccomp_data. The architectures are little-endian.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
)

// Assemble makes the filter. It depends on nothing but o, so that a caller may
// keep what it returned and install it any number of times.
func Assemble(o Options) ([]unix.SockFilter, error) {
	if native == 0 {
		return nil, ErrArchitecture
	}
	return assemble(native, goarch, slices.Concat(everywhere, here), o)
}

// outcome is what the search for a number ends in: a verdict, or an inspection
// that reaches one. Equal neighbours share a branch of the search.
type outcome struct {
	ret    uint32
	group  *group // of an inspection
	notify bool   // what the inspection allows is notified
}

type span struct {
	from uint32
	outcome
}

func refused(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

func assemble(arch uint32, goarch string, numbers []number, o Options) ([]unix.SockFilter, error) {
	groups := make(map[string]*group)
	for _, table := range [][]group{floor, bare} {
		if &table[0] == &bare[0] && !o.NoNamespaces {
			continue
		}
		for i := range table {
			if g := &table[i]; (g.arch == "" || g.arch == goarch) && !(g.metadata && o.Metadata) {
				for name := range strings.FieldsSeq(g.names) {
					groups[name] = g
				}
			}
		}
	}
	notify := make(map[uint32]bool)
	for _, nr := range o.Notify {
		notify[nr] = true
	}
	var calls []span
	for _, n := range numbers {
		g := groups[n.name]
		if g == nil {
			return nil, fmt.Errorf("no rule for %s", n.name)
		}
		notified := notify[n.nr] || o.Gate && (n.name == "execve" || n.name == "execveat")
		delete(notify, n.nr)
		c := span{from: n.nr}
		if slices.Contains(o.Deny, n.nr) && !notified {
			c.ret = refused(unix.ENOSYS)
			calls = append(calls, c)
			continue
		}
		switch g.verdict() {
		case Inspect:
			c.group, c.notify = g, notified
		case Refuse:
			if notified {
				return nil, fmt.Errorf("notification of %s, which is refused", n.name)
			}
			c.ret = refused(g.errno)
		case Allow:
			c.ret = unix.SECCOMP_RET_ALLOW
			if notified {
				c.ret = unix.SECCOMP_RET_USER_NOTIF
			}
		}
		calls = append(calls, c)
	}
	for nr := range notify {
		return nil, fmt.Errorf("notification of call %d, which is refused as unknown", nr)
	}
	return link(arch, cover(calls))
}

// cover makes spans of all numbers there are out of single calls. What lies
// between calls does not exist.
func cover(calls []span) []span {
	slices.SortFunc(calls, func(a, b span) int { return int(int64(a.from) - int64(b.from)) })
	unknown := outcome{ret: refused(unix.ENOSYS)}
	spans := []span{{0, unknown}}
	put := func(s span) {
		last := &spans[len(spans)-1]
		switch {
		case last.outcome == s.outcome:
		case last.from == s.from:
			last.outcome = s.outcome
		default:
			spans = append(spans, s)
		}
	}
	for i, c := range calls {
		put(c)
		if i+1 == len(calls) || calls[i+1].from != c.from+1 {
			put(span{c.from + 1, unknown})
		}
	}
	return spans
}

// link lays the filter out: the check of the architecture, the search for the
// number, and the inspections that the search ends in.
func link(arch uint32, spans []span) ([]unix.SockFilter, error) {
	l := linker{starts: make(map[outcome]int)}
	l.tree = l.search(spans)
	prologue := []unix.SockFilter{
		load(dataArch),
		// Numbers mean something else to another architecture, so that none is
		// looked up. To end the program would be ruder than is needed: it finds
		// that the call does not exist.
		jump(unix.BPF_JEQ, arch, 1, 0),
		ret(refused(unix.ENOSYS)),
		load(dataNumber),
	}
	for i, o := range l.leaves {
		if o.group == nil {
			continue
		}
		start, ok := l.starts[o]
		if !ok {
			start = len(l.bodies)
			l.starts[o] = start
			l.bodies = append(l.bodies, inspect(o)...)
		}
		l.tree[i] = skip(len(l.tree) - i - 1 + start)
	}
	f := slices.Concat(prologue, l.tree, l.bodies)
	if len(f) > maxFilter {
		return nil, fmt.Errorf("filter of %d instructions, of which the kernel takes %d", len(f), maxFilter)
	}
	return f, nil
}

type linker struct {
	tree   []unix.SockFilter
	leaves map[int]outcome // by their place in the tree
	bodies []unix.SockFilter
	starts map[outcome]int // places in bodies
}

// search returns a binary search over spans whose leaves are verdicts, or room
// for the jump to an inspection.
func (l *linker) search(spans []span) []unix.SockFilter {
	l.leaves = make(map[int]outcome)
	return l.branch(0, spans)
}

func (l *linker) branch(at int, spans []span) []unix.SockFilter {
	if len(spans) == 1 {
		l.leaves[at] = spans[0].outcome
		return []unix.SockFilter{ret(spans[0].ret)}
	}
	mid := len(spans) / 2
	// A conditional jump reaches 255 instructions far; what is more goes through
	// an unconditional one. Which is needed shows once the lower half is known,
	// whose place depends on it: sizes are asked for before places are given.
	size := treeSize(spans[:mid])
	var out []unix.SockFilter
	if size <= 255 {
		out = append(out, jump(unix.BPF_JGE, spans[mid].from, uint8(size), 0))
	} else {
		out = append(out, jump(unix.BPF_JGE, spans[mid].from, 0, 1), skip(size))
	}
	out = append(out, l.branch(at+len(out), spans[:mid])...)
	return append(out, l.branch(at+len(out), spans[mid:])...)
}

func treeSize(spans []span) int {
	if len(spans) == 1 {
		return 1
	}
	mid := len(spans) / 2
	low := treeSize(spans[:mid])
	n := 1 + low + treeSize(spans[mid:])
	if low > 255 {
		n++
	}
	return n
}

// inspect returns the clauses of an inspection as instructions.
func inspect(o outcome) []unix.SockFilter {
	var out []unix.SockFilter
	for _, c := range o.group.clauses {
		verdict := uint32(unix.SECCOMP_RET_ALLOW)
		switch {
		case c.errno != 0:
			verdict = refused(c.errno)
		case o.notify:
			verdict = unix.SECCOMP_RET_USER_NOTIF
		}
		// Backwards, since a test that fails skips the rest of its clause.
		body := []unix.SockFilter{ret(verdict)}
		for _, t := range slices.Backward(c.when) {
			body = slices.Concat(t.instructions(uint8(len(body))), body)
		}
		out = append(out, body...)
	}
	return out
}

// instructions ends in a jump over the next n instructions if t does not hold.
func (t test) instructions(n uint8) []unix.SockFilter {
	at := uint32(dataArgs + 8*int(t.arg))
	if t.high {
		at += 4
	}
	out := []unix.SockFilter{load(at)}
	if t.mask != all && t.op != some {
		out = append(out, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: t.mask})
	}
	switch t.op {
	case equal:
		return append(out, jump(unix.BPF_JEQ, t.value, 0, n))
	case some:
		return append(out, jump(unix.BPF_JSET, t.mask, 0, n))
	default:
		return append(out, jump(unix.BPF_JGT, t.value, 0, n))
	}
}

func load(at uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
}

func jump(cond uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | cond | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

func skip(n int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(n)}
}

func ret(verdict uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: verdict}
}
