package perm

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// Scope is one capability and how far it reaches. Its zero value reaches nothing.
//
// Everything that can be asked for has a place in one tree, where a place stands for
// all beneath it: a directory for its files, a domain for its hosts, a network for its
// addresses. At each place there are numbers: the ports of a host, the rights to a
// path.
type Scope struct {
	key    string
	except string // a place beneath key that is not meant, "" for none
	nums   spans
}

// The tops of the tree.
const (
	topFile   = "file/host"
	topOwn    = "file/own"
	topName   = "net/name"
	topAddr   = "net/addr"
	topHost   = "net/host"
	topListen = "listen"
	topEnv    = "env"
	topSpawn  = "spawn"
	topIPC    = "ipc"
	topSignal = "signal"
	topPlain  = "cap"
)

// The numbers at the place of a path, and at one that has no finer question.
const (
	numRead  = 0
	numWrite = 1
	numAll   = 0
)

// itself ends the place of a host's own name, beneath which its domain lies.
const itself = "/."

// rightNums are the numbers of a right to a path.
func rightNums(r Right) spans {
	switch r {
	case Read:
		return between(numRead, numRead)
	case Write:
		return between(numRead, numWrite)
	}
	return nil
}

// File reaches a path of the host and all beneath it.
func File(host string, r Right) Scope {
	return Scope{key: topFile + cleanKey(host), nums: rightNums(r)}
}

// Own reaches a path of a file system that is private to a process.
func Own(guest string, r Right) Scope {
	return Scope{key: topOwn + cleanKey(guest), nums: rightNums(r)}
}

// Listen reaches the ports from lo to hi of the host's addresses in prefix.
func Listen(prefix netip.Prefix, lo, hi uint16) Scope {
	return Scope{key: topListen + networkKey(prefix), nums: between(lo, hi)}
}

// Address reaches the ports from lo to hi of the addresses in prefix.
func Address(prefix netip.Prefix, lo, hi uint16) Scope {
	return Scope{key: topAddr + networkKey(prefix), nums: between(lo, hi)}
}

// Loopback reaches the ports from lo to hi of the host's own loopback.
func Loopback(lo, hi uint16) Scope { return Scope{key: topHost, nums: between(lo, hi)} }

// Host reaches the ports from lo to hi of a host by its name, or with "*." before it
// of every host beneath that name, at any depth, and not of the name itself. It is not
// told whether the name is one; [ParseNet] is.
func Host(name string, lo, hi uint16) Scope {
	domain, wild := strings.CutPrefix(strings.ToLower(strings.TrimSuffix(name, ".")), "*.")
	s := Scope{key: topName, nums: between(lo, hi)}
	labels := strings.Split(domain, ".")
	for i := len(labels) - 1; i >= 0; i-- {
		s.key += "/" + labels[i]
	}
	if wild {
		s.except = s.key + itself
	} else {
		s.key += itself
	}
	return s
}

// Variable reaches one variable of the environment.
func Variable(name string) Scope {
	return Scope{key: topEnv + "/" + component(name), nums: between(numAll, numAll)}
}

// Spawn reaches the starting of a program, or of those beneath a directory.
func Spawn(program string) Scope {
	return Scope{key: topSpawn + cleanKey(program), nums: between(numAll, numAll)}
}

// Channel reaches a channel by its name.
func Channel(name string) Scope {
	return Scope{key: topIPC + "/" + component(name), nums: between(numAll, numAll)}
}

// Relation is that of a process to one that it signals.
type Relation uint8

// The relations.
const (
	Self Relation = iota
	Child
	Other
)

var relationNames = [...]string{"self", "child", "other"}

// String returns the stable name of r.
func (r Relation) String() string {
	if int(r) < len(relationNames) {
		return relationNames[r]
	}
	return "?"
}

// Signal reaches the processes that stand in a relation.
func Signal(r Relation) Scope {
	return Scope{key: topSignal + "/" + r.String(), nums: between(numAll, numAll)}
}

// Plain is a capability that has no scope, such as the clock.
func Plain(c abi.Capability) Scope {
	if c == abi.CapNone || c >= abi.NumCapabilities {
		return Scope{}
	}
	return Scope{key: topPlain + "/" + c.String(), nums: between(numAll, numAll)}
}

// component makes any text one component of a key.
func component(s string) string { return strings.NewReplacer("%", "%25", "/", "%2F").Replace(s) }

// componentText undoes component.
func componentText(s string) string { return strings.NewReplacer("%2F", "/", "%25", "%").Replace(s) }

// networkKey is the place of a network: its bits, the first above. An IPv4 address that is
// written as IPv6 is an IPv4 address.
func networkKey(p netip.Prefix) string {
	addr, n := p.Addr(), p.Bits()
	if addr.Is4In6() && n >= 96 {
		addr, n = addr.Unmap(), n-96
	}
	var b strings.Builder
	b.WriteString("/6")
	if addr.Is4() {
		b.Reset()
		b.WriteString("/4")
	}
	raw := addr.AsSlice()
	for i := range n {
		b.WriteByte('/')
		b.WriteByte('0' + raw[i/8]>>(7-i%8)&1)
	}
	return b.String()
}

// networkText undoes networkKey.
func networkText(key string) string {
	parts := strings.Split(strings.Trim(key, "/"), "/")
	raw := make([]byte, 16)
	if parts[0] == "4" {
		raw = raw[:4]
	}
	n := len(parts) - 1
	for i, bit := range parts[1:] {
		raw[i/8] |= (bit[0] - '0') << (7 - i%8)
	}
	addr, _ := netip.AddrFromSlice(raw) // 4 or 16 bytes
	if n == addr.BitLen() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, n).String()
}

// String writes s as the flag that gives it, or in words where none does.
func (s Scope) String() string { return describe(s.key, s.nums) }

// describe writes the numbers at a place.
func describe(key string, nums spans) string {
	beneath := func(top string) (string, bool) {
		if !under(key, top) {
			return "", false
		}
		return key[len(top):], true
	}
	ports := func(host string) string {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return host + ":" + nums.String()
	}
	if p, ok := beneath(topFile); ok {
		return rightFlag(nums) + quote(shown(p))
	}
	if p, ok := beneath(topOwn); ok {
		return rightFlag(nums) + quote(shown(p)) + " (private)"
	}
	if p, ok := beneath(topName); ok {
		p, exact := strings.CutSuffix(p, itself)
		labels := strings.Split(strings.Trim(p, "/"), "/")
		for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
			labels[i], labels[j] = labels[j], labels[i]
		}
		host := strings.Join(labels, ".")
		if !exact {
			host = "*." + host
		}
		return "--net " + ports(host)
	}
	if p, ok := beneath(topAddr); ok {
		return "--net " + ports(networkText(p))
	}
	if _, ok := beneath(topHost); ok {
		return "--net " + ports("localhost")
	}
	if p, ok := beneath(topListen); ok {
		return "--listen " + ports(networkText(p))
	}
	if p, ok := beneath(topEnv); ok {
		return "--env " + quote(componentText(strings.TrimPrefix(p, "/")))
	}
	if p, ok := beneath(topSpawn); ok {
		return "spawn of " + quote(shown(p))
	}
	if p, ok := beneath(topIPC); ok {
		return "channel " + quote(componentText(strings.TrimPrefix(p, "/")))
	}
	if p, ok := beneath(topSignal); ok {
		return "signals to " + strings.TrimPrefix(p, "/")
	}
	if p, ok := beneath(topPlain); ok {
		return "--allow " + strings.TrimPrefix(p, "/")
	}
	return "nothing"
}

// rightFlag is the flag that gives a right to a path.
func rightFlag(nums spans) string {
	if nums.has(numWrite) {
		return "--write "
	}
	return "--read "
}

// DefaultPort is the port of a network grant that names none.
const DefaultPort = 443

// ParseNet reads the value of --net, HOST[:PORT]. HOST is a name, a name with "*."
// before it, an address, or a network; "localhost" is the host's own loopback. PORT is
// a number, a range, or "*". An IPv6 address with a port stands in brackets.
func ParseNet(value string) (Scope, error) {
	host, port := splitPort(value)
	lo, hi, err := parsePorts(port)
	if err != nil {
		return Scope{}, fmt.Errorf("%q %w", value, err)
	}
	if strings.EqualFold(host, "localhost") {
		return Loopback(lo, hi), nil
	}
	if p, err := netip.ParsePrefix(host); err == nil {
		if p != p.Masked() {
			return Scope{}, fmt.Errorf("%q has bits beyond its mask; write %s", value, p.Masked())
		}
		return Address(p, lo, hi), nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return Scope{}, fmt.Errorf("%q has a zone, which means nothing beyond this host; leave it out", value)
		}
		return Address(netip.PrefixFrom(a, a.BitLen()), lo, hi), nil
	}
	if problem := badName(host); problem != "" {
		return Scope{}, fmt.Errorf("%q %s", value, problem)
	}
	return Host(host, lo, hi), nil
}

// splitPort cuts the port off; it is "" if there is none.
func splitPort(value string) (host, port string) {
	if rest, ok := strings.CutPrefix(value, "["); ok {
		host, port, closed := strings.Cut(rest, "]")
		if !closed || port != "" && port[0] != ':' {
			return "", "" // no name, and so refused
		}
		if port == ":" {
			return host, " " // a colon promises a port
		}
		return host, strings.TrimPrefix(port, ":")
	}
	if strings.Count(value, ":") > 1 {
		return value, "" // an IPv6 address without a port
	}
	host, port, found := strings.Cut(value, ":")
	if found && port == "" {
		port = " "
	}
	return host, port
}

// parsePorts reads a number, a range, or "*".
func parsePorts(s string) (lo, hi uint16, err error) {
	switch s {
	case "":
		return DefaultPort, DefaultPort, nil
	case "*":
		return 1, 1<<16 - 1, nil
	}
	first, last, ranged := strings.Cut(s, "-")
	if !ranged {
		last = first
	}
	a, aerr := strconv.ParseUint(first, 10, 16)
	b, berr := strconv.ParseUint(last, 10, 16)
	if aerr != nil || berr != nil || a == 0 || a > b {
		return 0, 0, fmt.Errorf("has no port; write a number from 1 to 65535, a range such as 8000-8999, or *")
	}
	return uint16(a), uint16(b), nil
}

// badName says why a host's name is none, "" if it is one.
func badName(host string) string {
	const fix = "; write a name, *.name, an address, or a network such as 10.0.0.0/8"
	name := strings.TrimPrefix(strings.TrimSuffix(host, "."), "*.")
	if name == "" || len(name) > 253 {
		return "names no host" + fix
	}
	numeric := true
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "names no host" + fix
		}
		for _, c := range []byte(label) {
			switch {
			case c >= '0' && c <= '9':
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_':
				numeric = false
			default:
				return fmt.Sprintf("has %q in a name", c) + fix
			}
		}
	}
	if numeric {
		// Some resolvers take 127.1 or 2130706433 for an address.
		return "is neither an address nor a name" + fix
	}
	return ""
}
