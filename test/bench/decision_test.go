package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	"github.com/agentos-kernel/agentos/kernel/perm/cedar"
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

// policies loads n policies: five about any place, five about the place that is asked
// about, and the others each about reading, changing, or executing somewhere else.
func policies(b *testing.B, n int) perm.Engine {
	b.Helper()
	var text strings.Builder
	for i := range n {
		like, action := fmt.Sprintf("/srv%d/private%d/*", i%97, i), "read"
		switch {
		case i < 5:
			like = fmt.Sprintf("*/.private%d/*", i)
		case i < 10:
			like = fmt.Sprintf("/home/u/project/private%d/*", i)
		case i%4 == 1:
			action = "write"
		case i%4 == 2:
			action = "execute"
		}
		target := "File"
		if action == "execute" {
			target = "Program"
		}
		fmt.Fprintf(&text, "forbid (principal, action == AgentOS::Action::%q, resource is AgentOS::%s) when { resource.path like %q };\n", action, target, like)
	}
	e, err := cedar.Load([]cedar.Source{{Name: "bench.cedar", Text: []byte(text.String())}}, cedar.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// question is the key of a decision: a process, by the epoch of its rights, an action,
// and a path.
type question struct {
	process, epoch uint64
	action         abi.Action
	path           string
}

// word is the same for a cache that takes a string.
func (q question) word() string {
	return fmt.Sprintf("%d\x00%d\x00%d\x00%s", q.process, q.epoch, q.action, q.path)
}

// counter is where an asker counts for itself, as a process does.
type counter struct {
	atomic.Uint64
	_ [120]byte
}

// asker answers the question of that index for one of several goroutines.
type asker func(worker, index int)

// round is how many questions each contender is asked by turns.
const round = 32 << 10

// turn has n goroutines ask a share of a round each, from different places of the list,
// and returns the time of one question.
func (ask asker) turn(n int) float64 {
	var wg sync.WaitGroup
	begin := time.Now()
	for w := range n {
		wg.Go(func() {
			for i := range round / n {
				ask(w, (i+37*w)%asked)
			}
		})
	}
	wg.Wait()
	return float64(time.Since(begin)) / round
}

// BenchmarkDecisionHit asks what is remembered, of our cache and of two others that
// hold the same answers under the same keys with the same age. The one that takes only
// strings is told the key as one word made beforehand: joining it is not measured. In
// "one" all goroutines ask as one process, in "each" each as its own. The contenders
// take turns, as the machine's speed drifts; times are medians, and so are the ratios
// of each round.
func BenchmarkDecisionHit(b *testing.B) {
	paths := decisionPaths()
	asks := again(paths)
	key := func(p string) question { return question{1, 1, abi.ActRead, p} }
	var words []string
	for _, p := range asks {
		words = append(words, key(p).word())
	}
	subject, engine := decisionSubject(), policies(b, 50)
	const ttl = 5 * time.Second
	plain := perm.NewAuthority(perm.Principal{}, subject, engine)

	o := otter.Must(&otter.Options[question, perm.Decision]{MaximumSize: 1024, ExpiryCalculator: otter.ExpiryWriting[question, perm.Decision](ttl)})
	defer o.StopAllGoroutines()
	r, err := ristretto.NewCache(&ristretto.Config[string, perm.Decision]{NumCounters: 10240, MaxCost: 1024, BufferItems: 64, IgnoreInternalCost: true})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	ours := func(processes int) (asker, func() uint64) {
		var each [8]*perm.Authority // by goroutine
		for w := range each {
			if each[w] = each[0]; w < processes {
				each[w] = perm.NewAuthority(perm.Principal{}, subject, engine).Remember(perm.CacheOptions{})
			}
		}
		hits := make([]counter, len(each))
		total := func() (n uint64) {
			for i := range hits {
				n += hits[i].Load()
			}
			return n
		}
		return func(w, i int) {
			if _, remembered := each[w].Refusal(abi.ActRead, asks[i]); remembered {
				hits[w].Add(1)
			}
		}, total
	}
	for _, n := range []int{1, 2, 8} {
		one, hits := ours(1)
		each, _ := ours(n)
		contenders := []struct {
			name string
			ask  asker
		}{
			{"one", one}, {"each", each},
			{"otter", func(_, i int) {
				if _, ok := o.GetIfPresent(key(asks[i])); !ok {
					o.Set(key(asks[i]), plain.File(abi.ActRead, asks[i]))
				}
			}},
			{"ristretto", func(_, i int) {
				if _, ok := r.Get(words[i]); !ok {
					r.SetWithTTL(words[i], plain.File(abi.ActRead, asks[i]), 1, ttl)
				}
			}},
		}
		b.Run(fmt.Sprintf("goroutines=%d", n), func(b *testing.B) {
			for _, c := range contenders {
				c.ask.turn(n) // to fill it
			}
			r.Wait()
			before := hits()
			times, ratios := make([][]float64, len(contenders)), make([][]float64, len(contenders))
			for range b.N {
				for i, c := range contenders {
					times[i] = append(times[i], c.ask.turn(n))
					ratios[i] = append(ratios[i], times[i][len(times[i])-1]/times[0][len(times[0])-1])
				}
			}
			for i, c := range contenders {
				b.ReportMetric(median(times[i]), c.name+"-ns")
				if i > 1 {
					b.ReportMetric(median(ratios[i]), c.name+"/one")
				}
			}
			b.ReportMetric(0, "ns/op")
			if asked := uint64(b.N) * round; hits()-before < asked-asked/50 {
				b.Errorf("only %d of %d were remembered", hits()-before, asked)
			}
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// BenchmarkDecision compares a hit with deciding anew, allowed and refused.
func BenchmarkDecision(b *testing.B) {
	allowed, refused := "/home/u/project/src/package1/file1.go", "/home/u/project/src/.private4/key"
	for _, n := range []int{0, 50, 5000} {
		var engine perm.Engine
		if n > 0 {
			engine = policies(b, n)
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
		Authority: perm.NewAuthority(perm.Principal{}, decisionSubject(), policies(b, 50)).Remember(perm.CacheOptions{})})
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
		handler := gatefile.Handlers()[abi.SysPread]
		pairs(b, kind+"/read", func() bool {
			return handler(d.p, read) == abi.OK && read.Ret == 4096
		}, func() bool {
			return g.Call(read) == abi.Done && read.Errno == abi.OK && read.Ret == 4096
		})
		call := &abi.Call{Nr: abi.SysOpen, Path: "f"}
		open := func(who vfs.Access) func() bool {
			return func() bool {
				d.p.SetCall(call)
				f, errno := d.ns.Open(who, d.dir.Base(), "f", abi.ORead, 0)
				return errno == abi.OK && f.Unref() == abi.OK
			}
		}
		pairs(b, kind+"/open", open(lenient{d.p.Subject()}), open(d.p))
	}
}

// pairs compares two ways to do something, by turns: medians of each, and of the ratio
// of each pair.
func pairs(b *testing.B, name string, bare, decided func() bool) {
	b.Run(name, func(b *testing.B) {
		const many = 500
		var times [2][]float64
		var ratios []float64
		for range b.N {
			for i, do := range []func() bool{bare, decided} {
				begin := time.Now()
				for range many {
					if !do() {
						b.Fatal("it failed")
					}
				}
				times[i] = append(times[i], float64(time.Since(begin))/many)
			}
			ratios = append(ratios, times[1][len(ratios)]/times[0][len(ratios)])
		}
		b.ReportMetric(median(times[0]), "bare-ns")
		b.ReportMetric(median(times[1]), "decided-ns")
		b.ReportMetric(median(ratios), "decided/bare")
		b.ReportMetric(0, "ns/op")
	})
}

// waitingHandlers are those of every subsystem.
func waitingHandlers() map[abi.Sysno]gate.WaitHandler {
	all := gateproc.Waiting()
	for nr, h := range gatenet.Waiting() {
		all[nr] = h
	}
	return all
}
