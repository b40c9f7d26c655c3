package agentos

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/agentos-kernel/agentos/kernel/abi"
	knet "github.com/agentos-kernel/agentos/kernel/net"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

// listenTime bounds the resolution of a name to listen on.
const listenTime = 5 * time.Second

// openListeners binds what the spec asks for, while the process is being
// initialized: before it has run an instruction.
func (p *Process) openListeners() (files []*vfs.File, err error) {
	for _, address := range p.spec.Listen {
		l, err := listen(address)
		if err != nil {
			return files, fmt.Errorf("--listen %s: %w", address, err)
		}
		// Not to wait, as other runtimes hand them out: a runtime that schedules
		// for itself, such as Go's, must not be stopped by one accept. Who wants to
		// wait clears the flag.
		files = append(files, vfs.NewChannel(l, abi.ORead|abi.OWrite|abi.ONonblock))
		p.listening = append(p.listening, l.Addr())
	}
	return files, nil
}

func listen(address string) (knet.Listener, error) {
	ctx, cancel := context.WithTimeout(context.Background(), listenTime)
	defer cancel()
	return knet.Listen(ctx, address)
}

// checkListen refuses addresses that cannot be meant.
func checkListen(addresses []string) error {
	for _, a := range addresses {
		_, port, err := net.SplitHostPort(a)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return refuse("USAGE", "--listen "+a, "is not an address and a port", "write ADDR:PORT, such as 127.0.0.1:8080; port 0 is any that is free", err)
		}
	}
	return nil
}

// listenEntries renders the listeners for reports and --dry-run: under their real
// addresses where bound has them.
func listenEntries(spec *Spec, bound []string) []ViewEntry {
	var out []ViewEntry
	for i, address := range spec.Listen {
		e := ViewEntry{Path: address, Right: abi.ActListen.String(), Source: "flag"}
		if i < len(bound) {
			e.Path = bound[i]
		}
		if i < len(spec.ListenBy) {
			e.Source = spec.ListenBy[i]
		}
		out = append(out, e)
	}
	return out
}

// Listening returns the addresses that the run listens on, in the order of
// Spec.Listen, with their real ports. It is complete once Start has returned.
func (p *Process) Listening() []string { return append([]string(nil), p.listening...) }

// listenVariable tells a program which descriptors its listeners are: preview 1 has
// no other way.
const listenVariable = "AGENTOS_LISTEN_FDS"

func listenFDs(first, n int) string {
	fds := make([]string, n)
	for i := range fds {
		fds[i] = strconv.Itoa(first + i)
	}
	return listenVariable + "=" + strings.Join(fds, ",")
}

// listenScopes is what it takes to listen on an address. For a name it is nothing:
// where that leads is not known before it is resolved.
func listenScopes(address string) (out []perm.Scope) {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil
	}
	lo, hi := ap.Port(), ap.Port()
	if lo == 0 { // any that is free
		lo, hi = 0, 1<<16-1
	}
	if a := ap.Addr(); !a.IsUnspecified() {
		return append(out, perm.Listen(netip.PrefixFrom(a, a.BitLen()), lo, hi))
	}
	out = append(out, perm.Listen(netip.PrefixFrom(netip.IPv4Unspecified(), 0), lo, hi))
	if ap.Addr().Is6() {
		out = append(out, perm.Listen(netip.PrefixFrom(netip.IPv6Unspecified(), 0), lo, hi))
	}
	return out
}
