package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// written makes a log of n records and returns its lines and its head after each.
func written(t testing.TB, run string, n int) (lines [][]byte, heads []Head) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	l := New(run, func() (File, error) { return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600) })
	heads = append(heads, l.Head())
	for i := range n {
		if err := l.Append(KindDenial, map[string]any{"number": i, "text": `a "quoted" }, "hash":"x"} text`}); err != nil {
			t.Fatal(err)
		}
		heads = append(heads, l.Head())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(bytes.Lines(b)), heads
}

func verified(t testing.TB, lines [][]byte, run string, kept *Head) *Result {
	t.Helper()
	r, err := Verify(bytes.NewReader(bytes.Join(lines, nil)), run, kept, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerify(t *testing.T) {
	lines, heads := written(t, "01a", 5)
	for i, h := range heads {
		// Held to any head of former times, the log is intact: it has only grown.
		if r := verified(t, lines, "01a", &h); !r.Intact() || r.Head != heads[5] {
			t.Errorf("head %d: %+v", i, r)
		}
		if p, err := ParseHead(h.String()); err != nil || p != h {
			t.Errorf("%s: %v, %v", h, p, err)
		}
	}
	last := heads[5]
	edit := func(i int, old, new string) [][]byte {
		c := slices.Clone(lines)
		c[i] = bytes.Replace(c[i], []byte(old), []byte(new), 1)
		return c
	}
	other, _ := written(t, "01b", 5)
	again, _ := written(t, "01a", 5) // a log that fits together and is another
	for name, test := range map[string]struct {
		lines [][]byte
		wrong uint64 // 0 where only a head finds it
		kept  uint64 // with one
	}{
		"edited":           {edit(2, `"number":2`, `"number":9`), 3, 3},
		"digest edited":    {edit(2, hashField, `,"hash" :"`), 3, 3},
		"kind edited":      {edit(4, KindDenial, KindGrant), 5, 5},
		"removed":          {slices.Delete(slices.Clone(lines), 1, 2), 2, 2},
		"first removed":    {lines[1:], 1, 1},
		"swapped":          {[][]byte{lines[0], lines[2], lines[1], lines[3], lines[4]}, 2, 2},
		"repeated":         {[][]byte{lines[0], lines[1], lines[1], lines[2], lines[3], lines[4]}, 3, 3},
		"cut off":          {lines[:3], 0, 4},
		"emptied":          {nil, 0, 1},
		"of another run":   {other, 1, 1},
		"spliced":          {[][]byte{lines[0], other[1], lines[2]}, 2, 2},
		"written anew":     {again, 0, 5},
		"garbage inserted": {[][]byte{lines[0], []byte("garbage\n"), lines[1]}, 2, 2},
		"empty line":       {[][]byte{lines[0], []byte("\n"), lines[1]}, 2, 2},
	} {
		if r := verified(t, test.lines, "01a", nil); r.Line != test.wrong {
			t.Errorf("%s, without a head: record %d is wrong (%s), want %d", name, r.Line, r.What, test.wrong)
		}
		if r := verified(t, test.lines, "01a", &last); r.Line != test.kept || r.What == "" {
			t.Errorf("%s, with a head: record %d is wrong (%q), want %d", name, r.Line, r.What, test.kept)
		}
	}
	// A crash leaves part of a line: what is before it is intact, and it is said.
	torn := append(slices.Clone(lines[:4]), lines[4][:10])
	if r := verified(t, torn, "01a", &heads[4]); !r.Intact() || r.Torn != 10 || r.Head != heads[4] {
		t.Errorf("torn: %+v", r)
	}
	if r := verified(t, torn, "01a", &last); r.Intact() {
		t.Errorf("torn, but the record had been there: %+v", r)
	}
	wrong := Empty("01b")
	if r := verified(t, lines, "01a", &wrong); r.Intact() {
		t.Error("the head of another run fits")
	}
}

// broken is a file whose disk fills.
type broken struct {
	room int
	*os.File
}

func (b *broken) Write(p []byte) (int, error) {
	if b.room -= len(p); b.room < 0 {
		n, _ := b.File.Write(p[:len(p)/2])
		return n, errors.New("no space left")
	}
	return b.File.Write(p)
}

func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := New("01a", func() (File, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		return &broken{700, f}, err
	})
	n := 0
	for ; l.Append(KindDenial, "x") == nil; n++ {
	}
	if n == 0 || l.Err() == nil || l.Head().Records != uint64(n) {
		t.Errorf("%d records, head %v, %v", n, l.Head(), l.Err())
	}
	if l.Append(KindDenial, "y") == nil {
		t.Error("after a gap the log goes on")
	}
	head := l.Head()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Verify(f, "01a", &head, nil)
	if err != nil || !r.Intact() || r.Torn != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCannotBeOpened(t *testing.T) {
	l := New("01a", func() (File, error) { return nil, os.ErrPermission })
	if err := l.Append(KindGrant, 1); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
	if !errors.Is(l.Err(), os.ErrPermission) || l.Head() != Empty("01a") || l.Close() != nil {
		t.Error("it does not know")
	}
}

func TestConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := New("01a", func() (File, error) { return os.Create(path) })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 100 {
				if err := l.Append(KindDenial, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	head := l.Head()
	if err := l.Close(); err != nil || head.Records != 800 {
		t.Errorf("%v, %v", head, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	r, err := Verify(bytes.NewReader(b), "01a", &head, func(*Record) { seen++ })
	if err != nil || !r.Intact() || seen != 800 {
		t.Errorf("%+v, %d, %v", r, seen, err)
	}
}

func TestParseHead(t *testing.T) {
	for _, s := range []string{"", "1", ":", "1:", "x:" + strings.Repeat("a", 64), "1:" + strings.Repeat("g", 64), "1:" + strings.Repeat("a", 63), "-1:" + strings.Repeat("a", 64), "01:" + strings.Repeat("a", 64), "1:" + strings.Repeat("A", 64)} {
		if h, err := ParseHead(s); err == nil {
			t.Errorf("%q is %v", s, h)
		}
	}
}

// FuzzVerify: no file makes the verifier fail in another way than by saying so, and one
// that is changed anywhere is not held intact by its head.
func FuzzVerify(f *testing.F) {
	lines, heads := written(f, "01a", 3)
	whole := bytes.Join(lines, nil)
	f.Add(whole, 0, byte(0))
	f.Add([]byte("{}\n"), 3, byte(1))
	f.Fuzz(func(t *testing.T, text []byte, at int, to byte) {
		if _, err := Verify(bytes.NewReader(text), "01a", &heads[3], nil); err != nil {
			t.Fatal(err)
		}
		c := bytes.Clone(whole)
		if at < 0 || at >= len(c) || c[at] == to {
			return
		}
		c[at] = to
		r, err := Verify(bytes.NewReader(c), "01a", &heads[3], nil)
		if err != nil || r.Intact() {
			t.Fatalf("byte %d made %q: %+v, %v", at, to, r, err)
		}
	})
}
