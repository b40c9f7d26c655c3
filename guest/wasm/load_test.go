package wasm

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentos-kernel/agentos/guest"
)

func tryLoad(d *Domain, image []byte) error {
	p, err := d.Load(context.Background(), guest.Source{Name: "test", Image: image})
	if err != nil {
		return err
	}
	return p.Close()
}

func TestLoadErrors(t *testing.T) {
	d := testDomain(t, inProcess)
	good := exiting(0)
	imports := newModule(0, 0)
	imports.imported("env", "foo", []byte{0x60, 1, 0x7f, 0})
	imports.imported("env", "bar", []byte{0x60, 0, 0})
	imports.fn("main", 0)
	mistyped := newModule(0, 0)
	mistyped.imported("wasi_snapshot_preview1", "fd_close", []byte{0x60, 1, 0x7e, 1, 0x7f})
	mistyped.fn("main", 0)
	reactor := newModule(0, 0)
	reactor.export("_initialize", reactor.fn("init", 0))
	library := newModule(0, 0)
	library.export("add", library.fn("add", 0))
	typed := newModule(0, 0)
	typed.types = append(typed.types, []byte{0x60, 1, 0x7f, 0})
	typed.funcs = append(typed.funcs, handFunc{1, []byte{0}, nil, ""})
	invalid := newModule(0, 0)
	invalid.fn("main", 0, 0x6a) // i32.add on an empty stack
	taken := newModule(0, 0)
	taken.imported("agentos.rewrite", "yield", []byte{0x60, 0, 0})
	taken.fn("main", 0)
	huge := newModule(65536, 65536)
	huge.fn("main", 0)
	for name, c := range map[string]struct {
		image []byte
		says  string
	}{
		"empty":        {nil, "empty file"},
		"elf":          {[]byte("\x7fELF\x02\x01\x01"), "an ELF executable"},
		"script":       {[]byte("#!/bin/sh\n"), "a script"},
		"text":         {[]byte("(module)"), "WebAssembly text"},
		"noise":        {[]byte("hello, world"), `it begins with "hell"`},
		"magic only":   {good[:3], "truncated: 3 bytes"},
		"no version":   {good[:6], "truncated: 6 bytes"},
		"component":    {[]byte("\x00asm\x0d\x00\x01\x00"), "this is a component"},
		"version":      {[]byte("\x00asm\x02\x00\x00\x00"), "02 00 00 00"},
		"header only":  {good[:8], "no _start"},
		"truncated":    {good[:len(good)-9], "byte 0x"},
		"unknown":      {imports.command(), "env.foo (function), env.bar (function)"},
		"mistyped":     {mistyped.command(), "has type (i64)->(i32), expected (i32)->(i32)"},
		"reactor":      {reactor.bytes(), "a reactor"},
		"library":      {library.bytes(), "no _start"},
		"start's type": {typed.command(), "expected ()->()"},
		"invalid":      {invalid.command(), "too few operands"},
	} {
		t.Run(name, func(t *testing.T) {
			text := loadError(t, tryLoad(d, c.image), guest.NotRunnable)
			if !strings.Contains(text, c.says) {
				t.Errorf("%q does not say %q", text, c.says)
			}
		})
	}
	for name, image := range map[string][]byte{"memory": huge.command(), "reserved": taken.command(), "size": make([]byte, 300<<20)} {
		t.Run(name, func(t *testing.T) { t.Log(loadError(t, tryLoad(d, image), guest.TooCostly)) })
	}
}

// Every prefix and every flipped byte of a module is refused or runs; nothing
// panics, and no error is without words.
func TestCorruptModules(t *testing.T) {
	d := testDomain(t, Options{CompileInProcess: true, Limits: Limits{MaxPages: 64, IdlePrograms: 1}})
	good := caller("clock_time_get", 3, i32(0), i64(0), i32(64))
	for i := range good {
		for _, image := range [][]byte{good[:i], flip(good, i)} {
			err := tryLoad(d, image)
			var le *guest.LoadError
			if err != nil && (!errors.As(err, &le) || le.Kind == guest.HostFailed || le.Reason == "") {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
}

func flip(b []byte, i int) []byte {
	c := append([]byte(nil), b...)
	c[i] ^= 0xff
	return c
}

func TestCompileBomb(t *testing.T) {
	image := bomb(400)
	t.Run("time", func(t *testing.T) {
		d := testDomain(t, Options{Limits: Limits{CompileTime: 200 * time.Millisecond}})
		if text := loadError(t, tryLoad(d, image), guest.TooCostly); !strings.Contains(text, "took longer than 200ms") {
			t.Error(text)
		}
	})
	t.Run("memory", func(t *testing.T) {
		d := testDomain(t, Options{Limits: Limits{CompileMemory: 16 << 20}})
		text := loadError(t, tryLoad(d, image), guest.TooCostly)
		if !strings.Contains(text, "MiB of memory") {
			t.Error(text)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		cache := privateDir(t)
		d := testDomain(t, Options{CacheDir: cache})
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		defer cancel()
		_, err := d.Load(ctx, guest.Source{Name: "bomb", Image: image})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		noScratch(t, cache)
	})
}

// noScratch asserts that nothing half done is left in a cache.
func noScratch(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, scratchPrefix+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("scratch left in the cache: %v %v", left, err)
	}
}

// entries lists the artifacts of a cache.
func artifacts(t *testing.T, dir string) (keys []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if len(e.Name()) == 64 {
			keys = append(keys, e.Name())
		}
	}
	return keys
}

// privateDir makes a directory fit for a cache, which t.TempDir is not.
func privateDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cache")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A child that cannot start shows whether one was needed.
var noChild = Options{Helper: []string{"/nonexistent/helper"}}

func TestCache(t *testing.T) {
	cache := privateDir(t)
	image := exiting(3)
	o := Options{CacheDir: cache}
	if err := tryLoad(testDomain(t, o), image); err != nil {
		t.Fatal(err)
	}
	keys := artifacts(t, cache)
	if len(keys) != 1 {
		t.Fatalf("artifacts %v", keys)
	}
	noScratch(t, cache)
	warm := noChild
	warm.CacheDir = cache
	if err := tryLoad(testDomain(t, warm), image); err != nil {
		t.Fatalf("warm load: %v", err)
	}
	// Damage to any file, down to one bit, is noticed and never executed: with a
	// child it is compiled anew, without one the load fails.
	var files []string
	err := filepath.WalkDir(filepath.Join(cache, keys[0]), func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, p)
		}
		return err
	})
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v %v", files, err)
	}
	for _, damage := range []func(b []byte) []byte{
		func(b []byte) []byte { return flip(b, len(b)/2) },
		func(b []byte) []byte { return flip(b, len(b)-1) },
		func(b []byte) []byte { return b[:len(b)/3] },
		func(b []byte) []byte { return nil },
	} {
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f, damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := tryLoad(testDomain(t, warm), image); err == nil && filepath.Base(f) != metaFile {
				t.Errorf("damaged %s was loaded", filepath.Base(f))
			}
			if err := tryLoad(testDomain(t, o), image); err != nil {
				t.Errorf("after damage to %s: %v", filepath.Base(f), err)
			}
		}
	}
	// So is a file more.
	extra := filepath.Join(cache, keys[0], "extra")
	if err := os.WriteFile(extra, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tryLoad(testDomain(t, warm), image); err == nil {
		t.Error("an unknown file was accepted")
	}
}

func TestCacheIsBounded(t *testing.T) {
	cache := privateDir(t)
	d := testDomain(t, Options{CacheDir: cache, CompileInProcess: true, Limits: Limits{CacheBytes: 1}})
	for i := range 3 {
		if err := tryLoad(d, exiting(i)); err != nil {
			t.Fatal(err)
		}
		if n := len(artifacts(t, cache)); n != 1 {
			t.Errorf("%d artifacts", n)
		}
	}
}

func TestUnusableCache(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(privateDir(t), link); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{open, file, link} {
		d := testDomain(t, Options{CacheDir: dir})
		if f := d.Facts(); f.Cache != "" || f.CacheNote == "" {
			t.Errorf("facts %+v", f)
		}
		if err := tryLoad(d, exiting(0)); err != nil {
			t.Error(err)
		}
	}
}

// A helper that is not ours is an error that says what to do.
func TestBadHelper(t *testing.T) {
	for _, helper := range [][]string{{"/nonexistent/helper"}, {"/bin/true"}, {"/bin/false"}} {
		d := testDomain(t, Options{Helper: helper})
		t.Log(loadError(t, tryLoad(d, exiting(0)), guest.HostFailed))
	}
}

// Loads of one image at once compile it once, and share the program.
func TestSingleFlight(t *testing.T) {
	d := testDomain(t, Options{CacheDir: privateDir(t)})
	image := exiting(9)
	var wg sync.WaitGroup
	programs := make([]guest.Program, 8)
	for i := range programs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			p, err := d.Load(context.Background(), guest.Source{Image: image})
			if err != nil {
				t.Error(err)
				return
			}
			programs[i] = p
		}()
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, p := range programs {
		if p.(*handle).program != programs[0].(*handle).program {
			t.Error("two programs of one image")
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An instance keeps its program alive after handle and domain are closed.
func TestCloseOrder(t *testing.T) {
	d, err := New(inProcess)
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Load(context.Background(), guest.Source{Image: endless()})
	if err != nil {
		t.Fatal(err)
	}
	in, err := p.Instantiate(context.Background(), newHost(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Close(), p.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if o, _ := in.Resume(100); o != guest.Yielded {
		t.Fatalf("outcome %d", o)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if len(d.programs) != 0 {
		t.Errorf("%d programs left in a closed domain", len(d.programs))
	}
	if _, err := d.Load(context.Background(), guest.Source{Image: endless()}); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestIdleProgramsAreBounded(t *testing.T) {
	d := testDomain(t, Options{CompileInProcess: true, Limits: Limits{IdlePrograms: 2}})
	for i := range 5 {
		if err := tryLoad(d, exiting(i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.programs) != 2 {
		t.Errorf("%d programs kept", len(d.programs))
	}
}
