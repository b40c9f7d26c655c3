package wasm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/agentos-kernel/agentos/guest"
)

// Domain loads and keeps WebAssembly programs. It is safe for concurrent use.
type Domain struct {
	options Options
	limits  Limits
	store   *store // nil without a usable cache directory
	note    string // why store is nil although one was asked for
	scratch *scratch
	finish  func() error // closes scratch, once
	slots   chan struct{}

	mu       sync.Mutex
	programs map[cacheKey]*program // loaded, in use or idle; guarded by mu
	flights  map[cacheKey]chan struct{}
	clock    uint64 // counts releases; guarded by mu
	closed   bool   // guarded by mu
}

var (
	_ guest.Domain  = (*Domain)(nil)
	_ guest.Program = (*handle)(nil)
)

// ErrClosed is returned by Load after Close.
var ErrClosed = errors.New("the WebAssembly domain is closed")

// New makes a domain. A cache directory that cannot be used is not an error: the
// domain works without, and says so in its Facts.
func New(o Options) (*Domain, error) {
	if os.Getenv(helperEnv) != "" && !o.CompileInProcess {
		return nil, fmt.Errorf("this process was started to compile a module: its main must call the helper entry first (%s is set)", helperEnv)
	}
	d := &Domain{
		options: o, limits: o.Limits.withDefaults(),
		programs: make(map[cacheKey]*program), flights: make(map[cacheKey]chan struct{}),
	}
	d.slots = make(chan struct{}, d.limits.Compilers)
	if o.CacheDir != "" {
		s, err := openStore(o.CacheDir, d.limits.CacheBytes)
		if err != nil {
			d.note = err.Error()
		}
		d.store = s
	}
	if d.store != nil {
		d.scratch = d.store.scratch
	} else {
		t, err := temporary()
		if err != nil {
			return nil, fmt.Errorf("no directory to compile into: %w", err)
		}
		d.scratch = t
	}
	d.finish = sync.OnceValue(d.scratch.close)
	return d, nil
}

// Name implements [guest.Domain].
func (d *Domain) Name() string { return "wasm" }

// Facts says what the domain is here.
func (d *Domain) Facts() Facts {
	f := Facts{Engine: "interpreter", Isolation: "child", CacheNote: d.note}
	if compiles() {
		f.Engine = "compiler"
	}
	if d.options.CompileInProcess {
		f.Isolation = "in-process"
	}
	if d.store != nil {
		f.Cache = d.store.dir
	}
	return f
}

// Load implements [guest.Domain]. A program that is loaded already is shared;
// loads of one image at the same time compile it once.
func (d *Domain) Load(ctx context.Context, src guest.Source) (guest.Program, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := recognize(src.Image, d.limits.ImageBytes); err != nil {
		return nil, err
	}
	key := keyOf(src.Image, d.limits)
	for {
		d.mu.Lock()
		if d.closed {
			d.mu.Unlock()
			return nil, ErrClosed
		}
		if p := d.programs[key]; p != nil {
			p.refs++
			d.mu.Unlock()
			return &handle{program: p}, nil
		}
		flight := d.flights[key]
		if flight == nil {
			flight = make(chan struct{})
			d.flights[key] = flight
			d.mu.Unlock()
			return d.lead(ctx, key, src.Image, flight)
		}
		d.mu.Unlock()
		select {
		case <-flight: // loaded, or failed; then this call tries itself
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// lead loads a program for everyone who waits for its flight.
func (d *Domain) lead(ctx context.Context, key cacheKey, image []byte, flight chan struct{}) (guest.Program, error) {
	p, err := d.load(ctx, key, image)
	d.mu.Lock()
	delete(d.flights, key)
	close(flight)
	if err == nil && d.closed {
		d.mu.Unlock()
		return nil, errors.Join(ErrClosed, p.shutdown())
	}
	if err != nil {
		d.mu.Unlock()
		return nil, err
	}
	p.key, p.refs = key, 1
	d.programs[key] = p
	d.mu.Unlock()
	return &handle{program: p}, nil
}

// load finds or makes the code of image and starts it. Code that is there but
// does not load is made anew, once.
func (d *Domain) load(ctx context.Context, key cacheKey, image []byte) (*program, error) {
	for attempt := 0; ; attempt++ {
		a, err := d.obtain(ctx, key, image)
		if err != nil {
			return nil, err
		}
		p, err := d.start(ctx, a, true)
		a.drop()
		if err == nil {
			return p, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if d.store != nil {
			d.store.remove(key)
		}
		if attempt > 0 || d.store == nil {
			return nil, &guest.LoadError{Kind: guest.HostFailed, Reason: "compiled code does not load", Err: err}
		}
	}
}

// obtain returns verified code from the store, or has it compiled.
func (d *Domain) obtain(ctx context.Context, key cacheKey, image []byte) (*artifact, error) {
	if d.store == nil {
		dir, err := d.scratch.make()
		if err != nil {
			return nil, &guest.LoadError{Kind: guest.HostFailed, Reason: "no temporary directory to compile into", Err: err}
		}
		if err := d.compile(ctx, dir, image); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		return openArtifact(dir, true)
	}
	if a, err := d.store.open(key); err == nil {
		return a, nil
	}
	unlock, err := d.store.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if a, err := d.store.open(key); err == nil { // another kernel made it meanwhile
		return a, nil
	}
	dir, err := d.scratch.make()
	if err != nil {
		return nil, &guest.LoadError{Kind: guest.HostFailed, Reason: "no room in the cache of compiled programs", Err: err}
	}
	if err := d.compile(ctx, dir, image); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return d.store.commit(key, dir)
}

// compile fills dir with the code of image.
func (d *Domain) compile(ctx context.Context, dir string, image []byte) error {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if d.options.CompileInProcess {
		return fill(ctx, dir, image, d.limits)
	}
	limited, cancel := context.WithTimeoutCause(ctx, d.limits.CompileTime, errCompileTime)
	defer cancel()
	err := d.spawn(limited, dir, image)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && errors.Is(context.Cause(limited), errCompileTime):
		return &guest.LoadError{Kind: guest.TooCostly, Reason: fmt.Sprintf("compilation took longer than %s", d.limits.CompileTime.Round(time.Millisecond))}
	}
	return err
}

var errCompileTime = errors.New("compilation time is up")

// acquire takes one more reference to a program that somebody holds already.
func (p *program) acquire() {
	p.domain.mu.Lock()
	defer p.domain.mu.Unlock()
	p.refs++
}

// release gives a reference back and closes programs that nobody has used for
// longest, beyond those that are kept.
func (p *program) release() {
	d := p.domain
	d.mu.Lock()
	p.refs--
	d.clock++
	p.used = d.clock
	evicted := d.evict()
	d.mu.Unlock()
	for _, e := range evicted {
		// Nothing runs in it and its code is only memory: what could fail is
		// nothing that anybody could act on.
		_ = e.shutdown()
	}
}

// evict takes idle programs out of the table until those that stay are within
// the limits, all of them if the domain is closed. Called with d.mu held.
func (d *Domain) evict() (out []*program) {
	for {
		var oldest *program
		count, size := 0, uint64(0)
		for _, p := range d.programs {
			if p.refs > 0 {
				continue
			}
			count++
			size += p.size
			if oldest == nil || p.used < oldest.used {
				oldest = p
			}
		}
		if oldest == nil || !d.closed && count <= d.limits.IdlePrograms && size <= d.limits.IdleBytes {
			return out
		}
		delete(d.programs, oldest.key)
		out = append(out, oldest)
	}
}

// Close implements [guest.Domain]. Programs in use are closed when their last
// instance is.
func (d *Domain) Close() error {
	d.mu.Lock()
	d.closed = true
	evicted := d.evict()
	d.mu.Unlock()
	var errs []error
	for _, p := range evicted {
		errs = append(errs, p.shutdown())
	}
	errs = append(errs, d.finish())
	return errors.Join(errs...)
}
