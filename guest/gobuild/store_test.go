package gobuild

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

func openTestStore(t *testing.T) *Store {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), "go"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPrograms(t *testing.T) {
	s := openTestStore(t)
	image := []byte("\x00asm and more")
	if got := s.Program("k", 100); got != nil {
		t.Errorf("nothing was kept, and there is %q", got)
	}
	if err := s.Keep("k", image); err != nil {
		t.Fatal(err)
	}
	if got := s.Program("k", 100); !bytes.Equal(got, image) {
		t.Errorf("%q", got)
	}
	if got := s.Program("k", int64(len(image))-1); got != nil {
		t.Errorf("larger than allowed: %q", got)
	}
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { b[len(b)-1]++; return b },
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { return b[:10] },
		func([]byte) []byte { return nil },
	} {
		if err := s.Keep("d", image); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(s.program("d"))
		if err == nil {
			err = os.WriteFile(s.program("d"), damage(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Program("d", 100); got != nil {
			t.Errorf("damaged, and there is %q", got)
		}
	}
}

func TestProgramsAreForgotten(t *testing.T) {
	s := openTestStore(t)
	s.bytes = 3 * (100 + 32)
	image := make([]byte, 100)
	old := time.Now().Add(-2 * tmpAge)
	left := filepath.Join(s.dir, programsDir, tmpPrefix+"left")
	if err := os.WriteFile(left, image, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	for i, key := range []string{"a", "b", "c"} {
		if err := s.Keep(key, image); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(s.program(key), at, at); err != nil {
			t.Fatal(err)
		}
	}
	if s.Program("a", 1000) == nil { // used, and so the last to go
		t.Fatal("a is gone")
	}
	if err := s.Keep("d", image); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"a": true, "b": false, "c": true, "d": true} {
		if got := s.Program(key, 1000) != nil; got != want {
			t.Errorf("%s is there: %t", key, got)
		}
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what was never finished is still there")
	}
}

func openStd(t *testing.T, s *Store, id string) *Std {
	t.Helper()
	d, err := s.Std(&Toolchain{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestGrow(t *testing.T) {
	s := openTestStore(t)
	ctx := t.Context()
	var grown [][]string
	grow := func(missing []string) error { grown = append(grown, missing); return nil }
	for _, want := range [][]string{{"fmt", "os"}, {"fmt"}, {"fmt", "io"}, {"io", "os"}} {
		if err := openStd(t, s, "a").Grow(ctx, want, grow); err != nil {
			t.Fatal(err)
		}
	}
	if len(grown) != 2 || !slices.Equal(grown[0], []string{"fmt", "os"}) || !slices.Equal(grown[1], []string{"io"}) {
		t.Errorf("compiled %v", grown)
	}
	failed := errors.New("no")
	if err := openStd(t, s, "a").Grow(ctx, []string{"net"}, func([]string) error { return failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
	// Nobody knows what the one that failed left.
	d := openStd(t, s, "a")
	if m := d.Missing([]string{"fmt", "net"}); !slices.Equal(m, []string{"fmt", "net"}) {
		t.Errorf("missing %v", m)
	}
	if err := d.Read(ctx); err == nil {
		t.Error("what is uncertain is lent")
	}
	left := filepath.Join(d.Cache(), "left")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Grow(ctx, []string{"net"}, grow); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what it left is still there")
	}
	if m := d.Missing([]string{"fmt", "net"}); !slices.Equal(m, []string{"fmt"}) {
		t.Errorf("missing %v", m)
	}
	if err := d.Drop(); err != nil {
		t.Fatal(err)
	}
	if m := d.Missing([]string{"net"}); !slices.Equal(m, []string{"net"}) {
		t.Errorf("dropped, and missing %v", m)
	}
}

func TestSound(t *testing.T) {
	const entry = "v1 aa bbcc                   10  1700000000000000000\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		sound bool
	}{
		{"empty", nil, true},
		{"whole", map[string]string{"aa/aa-a": entry, "bb/bbcc-d": "0123456789", "README": "x"}, true},
		{"cut short", map[string]string{"aa/aa-a": entry, "bb/bbcc-d": "012345678"}, false},
		{"gone", map[string]string{"aa/aa-a": entry}, false},
		{"no entry", map[string]string{"aa/aa-a": ""}, false},
		{"half an entry", map[string]string{"aa/aa-a": entry[:20], "bb/bbcc-d": "0123456789"}, false},
	} {
		d := openStd(t, openTestStore(t), "a")
		write(t, d.Cache(), c.files)
		if d.Sound() != c.sound {
			t.Errorf("%s: sound %t", c.name, !c.sound)
		}
	}
}

// TestGrowAlone: while somebody adds nobody reads, and two that want the same compile
// it once.
func TestGrowAlone(t *testing.T) {
	s := openTestStore(t)
	var mu sync.Mutex
	adding, compiled := false, 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			d, err := s.Std(&Toolchain{ID: "a"})
			if err == nil {
				err = d.Grow(t.Context(), []string{"fmt"}, func([]string) error {
					mu.Lock()
					adding = true
					compiled++
					mu.Unlock()
					time.Sleep(30 * time.Millisecond)
					mu.Lock()
					adding = false
					mu.Unlock()
					return nil
				})
			}
			if err == nil {
				err = d.Read(t.Context())
			}
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			if adding {
				t.Error("read while it grows")
			}
			mu.Unlock()
			if err := errors.Join(d.Close(), d.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if compiled != 1 {
		t.Errorf("compiled %d times", compiled)
	}
}

func TestWaitingEnds(t *testing.T) {
	s := openTestStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := openStd(t, s, "a").Grow(ctx, []string{"fmt"}, func([]string) error {
		time.AfterFunc(20*time.Millisecond, cancel)
		return openStd(t, s, "a").Read(ctx)
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOldLibrariesAreForgotten(t *testing.T) {
	s := openTestStore(t)
	nothing := func([]string) error { return nil }
	old := time.Now().Add(-2 * stdAge)
	var held *Std
	for _, id := range []string{"old", "held", "new"} {
		d := openStd(t, s, id)
		if err := d.Grow(t.Context(), []string{"fmt"}, nothing); err != nil {
			t.Fatal(err)
		}
		if id == "held" {
			held = d
			if err := d.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if id != "new" {
			if err := os.Chtimes(filepath.Join(d.dir, useLock), old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := openStd(t, s, "next").Grow(t.Context(), []string{"fmt"}, nothing); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"old": false, "held": true, "new": true, "next": true} {
		if _, err := os.Stat(filepath.Join(s.dir, stdPrefix+id)); (err == nil) != want {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
}
