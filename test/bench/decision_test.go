package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/maypok86/otter/v2"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/gate"
	gatefile "github.com/agentos-kernel/agentos/kernel/gate/file"
	gatenet "github.com/agentos-kernel/agentos/kernel/gate/net"
	gateproc "github.com/agentos-kernel/agentos/kernel/gate/proc"
	"github.com/agentos-kernel/agentos/kernel/limit"
	"github.com/agentos-kernel/agentos/kernel/perm"
	"github.com/agentos-kernel/agentos/kernel/proc"
	"github.com/agentos-kernel/agentos/kernel/vfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/hostfs"
	"github.com/agentos-kernel/agentos/kernel/vfs/memfs"
)

// asked is how many different paths the decision benchmarks ask about by turns. A
// program reads some hundreds of files, again and again.
const asked = 256

// decisionPaths are those paths, every sixteenth one refused.
func decisionPaths() []string {
	var out []string
	for i := range asked {
		dir := "src"
		if i%16 == 15 {
			dir = "secrets"
		}
		out = append(out, fmt.Sprintf("/home/u/project/%s/package%d/file%d.go", dir, i%8, i))
	}
	return out
}

// again are the same paths in other memory, as a walk makes them: what compares them
// cannot do it by address.
func again(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, strings.Clone(p))
	}
	return out
}

// decisionSubject is what `--read` of some directories and `--write` of one make.
func decisionSubject() *perm.Subject {
	spec := perm.SubjectSpec{Caps: abi.Caps(abi.CapFileRead, abi.CapFileWrite)}
	for _, p := range []string{"/usr", "/lib", "/opt/tools", "/etc/ssl/certs", "/home/u/go/pkg/mod", "/srv/data"} {
		spec.Paths = append(spec.Paths, perm.PathRule{Guest: p, Right: perm.Read, Host: p})
	}
	spec.Paths = append(spec.Paths,
		perm.PathRule{Guest: "/home/u/project", Right: perm.Write, Host: "/home/u/project"},
		perm.PathRule{Host: "/home/u/project/secrets", Right: perm.None})
	return perm.NewSubject(spec)
}

// patterns is a stand-in for a policy engine: every pattern is tried on every path.
type patterns []string

func (p patterns) Decide(_ *perm.Principal, q *perm.Query) perm.Verdict {
	for i, like := range p {
		if matches(like, q.Path) {
			return perm.Verdict{Rule: fmt.Sprint("pattern ", i)}
		}
	}
	return perm.Verdict{Allow: true}
}

func (p patterns) Describe() []string { return nil }

// matches compares with a pattern in which * stands for anything.
func matches(like, s string) bool {
	parts := strings.Split(like, "*")
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}

func policies(n int) perm.Engine {
	var p patterns
	for i := range n {
		p = append(p, fmt.Sprintf("*/.private%d/*", i))
	}
	return p
}

// share divides b.N iterations among n goroutines.
func share(b *testing.B, n int, loop func(worker, iterations int)) {
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for w := range n {
		wg.Go(func() { loop(w, b.N/n+1) })
	}
	wg.Wait()
}

// BenchmarkDecisionHit asks what is remembered, of our cache and of two others that
// hold the same answers under the same keys with the same age. They are told the
// key as one word, so that joining it is not among what is measured. In "one" all
// goroutines ask as one process, in "each" each as its own.
func BenchmarkDecisionHit(b *testing.B) {
	paths := decisionPaths()
	asks := again(paths)
	subject, engine := decisionSubject(), policies(50)
	authority := func() *perm.Authority {
		return perm.NewAuthority(perm.Principal{}, subject, engine).Remember(perm.CacheOptions{})
	}
	const ttl = 5 * time.Second
	for _, n := range []int{1, 2, 8} {
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			b.Run("agentos/one", func(b *testing.B) {
				a := authority()
				share(b, n, func(w, n int) {
					for i := range n {
						a.Refusal(abi.ActRead, asks[(i+37*w)%asked])
					}
				})
				if c := a.Remembered(); c.Misses > uint64(b.N/100+10*asked) {
					b.Errorf("missed: %+v", c)
				}
			})
			b.Run("agentos/each", func(b *testing.B) {
				var each []*perm.Authority
				for range n {
					each = append(each, authority())
				}
				share(b, n, func(w, n int) {
					for i := range n {
						each[w].Refusal(abi.ActRead, asks[(i+37*w)%asked])
					}
				})
			})
			b.Run("otter", func(b *testing.B) {
				c := otter.Must(&otter.Options[string, perm.Decision]{MaximumSize: 1024, ExpiryCalculator: otter.ExpiryWriting[string, perm.Decision](ttl)})
				defer c.StopAllGoroutines()
				plain := perm.NewAuthority(perm.Principal{}, subject, engine)
				for _, p := range paths {
					c.Set(p, plain.File(abi.ActRead, p))
				}
				share(b, n, func(w, n int) {
					for i := range n {
						p := asks[(i+37*w)%asked]
						if _, ok := c.GetIfPresent(p); !ok {
							c.Set(p, plain.File(abi.ActRead, p))
						}
					}
				})
			})
			b.Run("ristretto", func(b *testing.B) {
				c, err := ristretto.NewCache(&ristretto.Config[string, perm.Decision]{NumCounters: 10240, MaxCost: 1024, BufferItems: 64, IgnoreInternalCost: true})
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				plain := perm.NewAuthority(perm.Principal{}, subject, engine)
				for _, p := range paths {
					c.SetWithTTL(p, plain.File(abi.ActRead, p), 1, ttl)
				}
				c.Wait()
				share(b, n, func(w, n int) {
					for i := range n {
						p := asks[(i+37*w)%asked]
						if _, ok := c.Get(p); !ok {
							c.SetWithTTL(p, plain.File(abi.ActRead, p), 1, ttl)
						}
					}
				})
			})
		})
	}
}

// BenchmarkDecision compares a hit with deciding anew, allowed and refused.
func BenchmarkDecision(b *testing.B) {
	allowed, refused := "/home/u/project/src/package1/file1.go", "/home/u/project/src/.private7/key"
	for _, n := range []int{0, 50, 5000} {
		var engine perm.Engine
		if n > 0 {
			engine = policies(n)
		}
		cold := perm.NewAuthority(perm.Principal{}, decisionSubject(), engine)
		hit := perm.NewAuthority(perm.Principal{}, decisionSubject(), engine).Remember(perm.CacheOptions{})
		for _, c := range []struct {
			name string
			act  abi.Action
			path string
			a    *perm.Authority
		}{
			{"cold/read", abi.ActRead, allowed, cold}, {"cold/write", abi.ActWrite, allowed, cold}, {"cold/refused", abi.ActRead, refused, cold},
			{"hit/read", abi.ActRead, allowed, hit}, {"hit/write", abi.ActWrite, allowed, hit}, {"hit/refused", abi.ActRead, refused, hit},
		} {
			b.Run(fmt.Sprintf("policies=%d/%s", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					c.a.Refusal(c.act, c.path)
				}
			})
		}
	}
}

// lenient lets everything pass, for what a call costs without being decided on.
type lenient struct{ subject *perm.Subject }

func (l lenient) Subject() *perm.Subject              { return l.subject }
func (l lenient) Decide(abi.Action, string) abi.Errno { return abi.OK }
func (l lenient) Hidden(string)                       {}

// decider is a process with a file f in a directory of the given file system, and
// everything that decides on its calls.
type decider struct {
	p    *proc.Process
	ns   *vfs.Namespace
	dir  *vfs.File
	file abi.FD
}

func newDecider(b *testing.B, fs vfs.FileSystem, guest string) *decider {
	b.Helper()
	account := limit.NewAccount(limit.Caps{})
	p := proc.New(proc.Options{Account: account, Denials: new(perm.Denials),
		Authority: perm.NewAuthority(perm.Principal{}, decisionSubject(), policies(50)).Remember(perm.CacheOptions{})})
	d := &decider{p: p, ns: vfs.NewNamespace(vfs.Options{})}
	if err := d.ns.Mount(guest, fs); err != nil {
		b.Fatal(err)
	}
	p.SetNS(d.ns)
	p.SetFDs(proc.NewFDTable(account))
	for _, s := range []proc.State{proc.Initializing, proc.Ready, proc.Running} {
		if !p.To(s) {
			b.Fatal(s)
		}
	}
	var errno abi.Errno
	if d.dir, errno = d.ns.OpenDir(guest); errno != abi.OK {
		b.Fatal(errno)
	}
	f, errno := d.ns.Open(p, d.dir.Base(), "f", abi.ORead|abi.OWrite|abi.OCreate, 0o644)
	if errno != abi.OK {
		b.Fatal(errno)
	}
	if _, errno := f.Write([][]byte{bytes.Repeat([]byte("x"), 4096)}); errno != abi.OK {
		b.Fatal(errno)
	}
	if d.file, errno = p.FDs().Reserve(); errno != abi.OK || !p.FDs().Commit(d.file, proc.Descriptor{File: f}) {
		b.Fatal(errno)
	}
	b.Cleanup(func() {
		for _, fd := range p.FDs().Release() {
			if errno := fd.File.Unref(); errno != abi.OK {
				b.Error(errno)
			}
		}
		if errno := d.dir.Unref(); errno != abi.OK {
			b.Error(errno)
		}
		if err := d.ns.Close(); err != nil {
			b.Error(err)
		}
	})
	return d
}

// BenchmarkDecisionPath is what the whole path of a decision adds to an open and to a
// read of 4 KiB: "bare" is the operation by itself. An open is followed by a close.
func BenchmarkDecisionPath(b *testing.B) {
	const guest = "/home/u/project"
	table, err := gate.NewTable(waitingHandlers(), gateproc.Handlers(), gatefile.Handlers(), gatenet.Handlers())
	if err != nil {
		b.Fatal(err)
	}
	kinds := map[string]func(b *testing.B) vfs.FileSystem{
		"memory": func(*testing.B) vfs.FileSystem { return memfs.New(limit.NewAccount(limit.Caps{}), memfs.Options{}) },
		"host": func(b *testing.B) vfs.FileSystem {
			dir := filepath.Join(b.TempDir(), "d")
			if err := os.Mkdir(dir, 0o700); err != nil {
				b.Fatal(err)
			}
			fs, err := hostfs.Open(dir, hostfs.Options{Write: true})
			if err != nil {
				b.Fatal(err)
			}
			return fs
		},
	}
	for _, kind := range []string{"memory", "host"} {
		d := newDecider(b, kinds[kind](b), guest)
		read := &abi.Call{Nr: abi.SysPread, FD: d.file, Buf: [][]byte{make([]byte, 4096)}}
		g := gate.New(d.p, &gate.Shared{Table: table})
		b.Run(kind+"/read/bare", func(b *testing.B) {
			handler := gatefile.Handlers()[abi.SysPread]
			for b.Loop() {
				if errno := handler(d.p, read); errno != abi.OK || read.Ret != 4096 {
					b.Fatal(errno, read.Ret)
				}
			}
		})
		b.Run(kind+"/read/decided", func(b *testing.B) {
			for b.Loop() {
				if s := g.Call(read); s != abi.Done || read.Errno != abi.OK || read.Ret != 4096 {
					b.Fatal(s, read.Errno, read.Ret)
				}
			}
		})
		for _, who := range []struct {
			name string
			a    vfs.Access
		}{{"bare", lenient{d.p.Subject()}}, {"decided", d.p}} {
			b.Run(kind+"/open/"+who.name, func(b *testing.B) {
				for b.Loop() {
					f, errno := d.ns.Open(who.a, d.dir.Base(), "f", abi.ORead, 0)
					if errno != abi.OK {
						b.Fatal(errno)
					}
					if errno := f.Unref(); errno != abi.OK {
						b.Fatal(errno)
					}
				}
			})
		}
	}
}

// waitingHandlers are those of every subsystem.
func waitingHandlers() map[abi.Sysno]gate.WaitHandler {
	all := gateproc.Waiting()
	for nr, h := range gatenet.Waiting() {
		all[nr] = h
	}
	return all
}
