//go:build unix

package statedir

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRunID(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	d := &Dir{now: func() time.Time { return at }}
	var ids []string
	for range 1000 {
		ids = append(ids, d.nextID())
	}
	at = at.Add(-time.Hour) // the clock goes back
	ids = append(ids, d.nextID())
	at = at.Add(2 * time.Hour)
	ids = append(ids, d.nextID())
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Error("ids are not strictly increasing")
	}
	for _, id := range ids {
		if !isRunID(id) || !strings.HasPrefix(id, "01") {
			t.Fatalf("%q is no run id", id)
		}
	}
	if got := idTime(ids[0]); !got.Equal(time.UnixMilli(1_700_000_000_123)) {
		t.Errorf("idTime = %v", got)
	}
	if got := (rawID{hi: 1, lo: 1<<64 - 1}).after(); got != (rawID{hi: 2}) {
		t.Errorf("after carries to %v", got)
	}
	if got := (rawID{hi: 1<<64 - 1, lo: 1<<64 - 1}).String(); got != "7"+strings.Repeat("z", 25) {
		t.Errorf("the last id is %s", got)
	}
	for _, bad := range []string{"", "..", strings.Repeat("0", 25), strings.Repeat("0", 27), "8" + strings.Repeat("0", 25),
		strings.Repeat("0", 25) + "u", strings.Repeat("0", 25) + "A", strings.Repeat("0", 24) + "/x"} {
		if isRunID(bad) {
			t.Errorf("%q counts as a run id", bad)
		}
	}
}

func TestLifeOfARecord(t *testing.T) {
	d := fresh(t)
	r, err := d.Create(Description{Program: "/bin/x.wasm", Name: "job", Args: 3, Domain: "wasm", KernelPID: os.Getpid(), AgentOS: "v0"})
	must(t, err)
	e := find(t, d, r.ID())
	if !e.Live || e.Finished || e.Problem != nil || e.Description.Run != r.ID() || e.Description.Args != 3 || e.Description.Started.IsZero() || e.Description.Version != 1 {
		t.Errorf("live entry %+v", e)
	}
	if _, err := e.Report(); !errors.Is(err, ErrNoReport) {
		t.Errorf("Report of a live run: %v", err)
	}
	desc := e.Description
	desc.PID = 3
	must(t, r.WriteDescription(desc))
	if e := find(t, d, r.ID()); e.Description.PID != 3 || !e.Description.Started.Equal(desc.Started) {
		t.Errorf("description became %+v", e.Description)
	}

	must(t, r.AppendDenial([]byte("{\"n\":\n1}")))
	must(t, r.AppendDenial([]byte(`{"n":2}`)))
	if r.AppendDenial([]byte("{")) == nil || r.WriteReport([]byte("nonsense")) == nil {
		t.Error("text that is no JSON was accepted")
	}
	f, err := os.OpenFile(filepath.Join(r.Path(), denialsFile), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"n":3,"torn`)
	must(t, errors.Join(err, f.Close()))
	den, err := e.Denials()
	if err != nil || len(den) != 2 || string(den[0]) != `{"n":1}` || string(den[1]) != `{"n":2}` {
		t.Errorf("Denials = %s, %v", den, err)
	}

	s, err := r.Scratch()
	must(t, err)
	must(t, s.MkdirAll("a/b", 0o700))
	if s.Name() != filepath.Join(r.Path(), scratchDir) {
		t.Logf("Scratch name %s", s.Name())
	}
	must(t, s.Close())
	s, err = r.Scratch() // a second call is the same directory
	must(t, err)
	if _, err := s.Stat("a/b"); err != nil {
		t.Error(err)
	}
	must(t, s.Close())

	must(t, r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)))
	must(t, r.Close())
	must(t, r.Close())
	if err := r.WriteReport([]byte("{}")); !errors.Is(err, ErrClosed) {
		t.Errorf("WriteReport after Close: %v", err)
	}
	if err := r.AppendDenial([]byte("{}")); !errors.Is(err, ErrClosed) {
		t.Errorf("AppendDenial after Close: %v", err)
	}
	if _, err := r.Scratch(); !errors.Is(err, ErrClosed) {
		t.Errorf("Scratch after Close: %v", err)
	}
	if _, err := r.Listen(); !errors.Is(err, ErrClosed) {
		t.Errorf("Listen after Close: %v", err)
	}
	e = find(t, d, r.ID())
	if e.Live || !e.Finished || causeOf(t, e) != "exited" {
		t.Errorf("finished entry %+v", e)
	}
	checkClean(t, d.path)
	if got := dirNames(t, r.Path()); !slices.Equal(got, []string{denialsFile, lockFile, reportFile, descriptionFile, versionFile}) {
		t.Errorf("the record holds %q", got)
	}
}

func TestDenialsAreBounded(t *testing.T) {
	d := fresh(t)
	r := create(t, d)
	big := append(append([]byte(`"`), bytes.Repeat([]byte("x"), 1<<20)...), '"')
	var err error
	for range 8 {
		if err = r.AppendDenial(big); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrTooManyDenials) {
		t.Fatalf("err = %v", err)
	}
	if den, err := find(t, d, r.ID()).Denials(); err != nil || len(den) != 3 {
		t.Errorf("%d denials, %v", len(den), err)
	}
}

func TestAbandonTakesTheRecordBack(t *testing.T) {
	d := fresh(t)
	r := create(t, d)
	s, err := r.Scratch()
	must(t, err)
	must(t, s.WriteFile("f", []byte("x"), 0o600))
	must(t, s.Close())
	must(t, r.Abandon())
	if _, err := d.Find(r.ID()); !errors.Is(err, ErrNoRun) {
		t.Errorf("Find = %v", err)
	}
	checkClean(t, d.path)
}

func TestListFindLast(t *testing.T) {
	d := fresh(t)
	if _, err := d.Last(); !errors.Is(err, ErrNoRun) {
		t.Errorf("Last of none: %v", err)
	}
	if list, err := d.List(); err != nil || len(list) != 0 {
		t.Errorf("List of none: %v, %v", list, err)
	}
	first, second := finished(t, d), finished(t, d)
	live := create(t, d)
	must(t, os.Mkdir(filepath.Join(d.path, runsDir, "not-a-run"), 0o700))
	must(t, os.WriteFile(filepath.Join(d.path, runsDir, strings.Repeat("0", idLength)), nil, 0o600))

	list, err := d.List()
	must(t, err)
	var ids []string
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []string{first, second, live.ID()}) {
		t.Errorf("List = %q", ids)
	}
	list, err = d.ListLive()
	if err != nil || len(list) != 1 || list[0].ID != live.ID() {
		t.Errorf("ListLive = %v, %v", list, err)
	}
	if e, err := d.Last(); err != nil || e.ID != live.ID() {
		t.Errorf("Last = %v, %v", e, err)
	}
	for _, ref := range []string{second, strings.ToUpper(second), second[idLength-12:]} {
		if e, err := d.Find(ref); err != nil || e.ID != second {
			t.Errorf("Find(%q) = %v, %v", ref, e, err)
		}
	}
	var a *Ambiguous
	if _, err := d.Find("0"); !errors.As(err, &a) || len(a.Matches) != 4 {
		t.Errorf("Find(0) = %v", err)
	}
	for _, ref := range []string{"", "nonsense", "../" + first, strings.Repeat("7", idLength), strings.Repeat("0", idLength)} {
		if _, err := d.Find(ref); !errors.Is(err, ErrNoRun) {
			t.Errorf("Find(%q) = %v", ref, err)
		}
	}
}

// TestDamagedRecords: none of them stops a listing, blocks it, or is taken for live.
func TestDamagedRecords(t *testing.T) {
	damage := map[string]func(dir string) error{
		"no description":  func(p string) error { return os.Remove(p + "/run.json") },
		"empty":           func(p string) error { return os.WriteFile(p+"/run.json", nil, 0o600) },
		"of another":      func(p string) error { return os.WriteFile(p+"/run.json", []byte(`{"run":"x"}`), 0o600) },
		"huge":            func(p string) error { return os.WriteFile(p+"/run.json", make([]byte, maxSmall+1), 0o600) },
		"no version":      func(p string) error { return os.Remove(p + "/version") },
		"description dir": func(p string) error { return errors.Join(os.Remove(p+"/run.json"), os.Mkdir(p+"/run.json", 0o700)) },
		"description link": func(p string) error {
			return errors.Join(os.Remove(p+"/run.json"), os.Symlink("/etc/passwd", p+"/run.json"))
		},
		"lock is a fifo": func(p string) error { return errors.Join(os.Remove(p+"/lock"), mkfifo(p+"/lock")) },
		"fifo":           func(p string) error { return errors.Join(os.Remove(p+"/run.json"), mkfifo(p+"/run.json")) },
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			d := fresh(t)
			id := finished(t, d)
			must(t, f(filepath.Join(d.path, runsDir, id)))
			e := find(t, d, id)
			if e.Live || e.Problem == nil {
				t.Errorf("entry %+v", e)
			}
			if list, err := d.List(); err != nil || len(list) != 1 {
				t.Errorf("List = %v, %v", list, err)
			}
			if _, err := d.Prune(context.Background(), PrunePolicy{}); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("report", func(t *testing.T) {
		d := fresh(t)
		id := finished(t, d)
		must(t, os.WriteFile(filepath.Join(d.path, runsDir, id, reportFile), []byte(`{"ver`), 0o600))
		if _, err := find(t, d, id).Report(); !errors.Is(err, ErrNoReport) {
			t.Errorf("Report = %v", err)
		}
	})
}

// TestControlSocket talks over the socket of a record whose path fits into no
// socket address, by the handle and by the alias.
func TestControlSocket(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 120), strings.Repeat("e", 120), "state")
	for _, path := range []string{filepath.Join(t.TempDir(), "s"), long} {
		d := open(t, path)
		r := create(t, d)
		l, err := r.Listen()
		must(t, err)
		talk(t, l, func(ctx context.Context) (net.Conn, error) { return find(t, d, r.ID()).Dial(ctx) })
		if fi, err := os.Lstat(filepath.Join(r.Path(), socketFile)); err != nil || fi.Mode()&os.ModeSocket == 0 {
			t.Errorf("socket: %v, %v", fi, err)
		}
		must(t, l.Close())
		if _, err := find(t, d, r.ID()).Dial(t.Context()); !errors.Is(err, ErrNotLive) {
			t.Errorf("Dial without a listener: %v", err)
		}
		must(t, r.WriteReport([]byte("{}")))
		must(t, r.Close())
		missing(t, filepath.Join(r.Path(), socketFile))
		if _, err := find(t, d, r.ID()).Dial(t.Context()); !errors.Is(err, ErrNotLive) {
			t.Errorf("Dial without a socket: %v", err)
		}
	}

	dir := filepath.Join(t.TempDir(), strings.Repeat("f", 200))
	must(t, os.Mkdir(dir, 0o700))
	var l net.Listener
	before := dirNames(t, shortTemp())
	must(t, withAlias(dir, func(sock string) (err error) {
		if len(sock) > maxSunPath {
			t.Errorf("the alias %s has %d bytes", sock, len(sock))
		}
		ul, err := net.ListenUnix("unix", &net.UnixAddr{Name: sock, Net: "unix"})
		if err == nil {
			ul.SetUnlinkOnClose(false)
			l = ul
		}
		return err
	}))
	talk(t, l, func(ctx context.Context) (c net.Conn, err error) {
		err = withAlias(dir, func(sock string) error { c, err = new(net.Dialer).DialContext(ctx, "unix", sock); return err })
		return c, err
	})
	must(t, l.Close())
	for _, n := range dirNames(t, shortTemp()) {
		if strings.HasPrefix(n, "agentos-") && !slices.Contains(before, n) && len(dirNames(t, filepath.Join(shortTemp(), n))) > 0 {
			if target, err := os.Readlink(filepath.Join(shortTemp(), n, "s")); err == nil && target == dir {
				t.Errorf("the alias %s was left", n)
			}
		}
	}
}

func talk(t *testing.T, l net.Listener, dial func(context.Context) (net.Conn, error)) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := io.Copy(c, c); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := dial(t.Context())
	if err != nil {
		_ = l.Close() // lets the accepting goroutine end
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	must(t, c.(*net.UnixConn).CloseWrite())
	if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
		t.Errorf("echo %q, %v", b, err)
	}
	must(t, c.Close())
}

// TestConcurrentRuns creates, lists, sweeps, and closes from many goroutines.
func TestConcurrentRuns(t *testing.T) {
	d := fresh(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 15 {
				r, err := d.Create(Description{Program: "p"})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := d.Sweep(context.Background()); err != nil {
					t.Error(err)
				}
				if e, err := d.Find(r.ID()); err != nil || !e.Live || e.Finished {
					t.Errorf("own entry %+v, %v", e, err)
				}
				if err := errors.Join(r.WriteReport([]byte(`{"version":1,"cause":"exited"}`)), r.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	list, err := d.List()
	if err != nil || len(list) != 90 {
		t.Errorf("%d records, %v", len(list), err)
	}
	for _, e := range list {
		if causeOf(t, e) != "exited" {
			t.Errorf("run %s was swept", e.ID)
		}
	}
	checkClean(t, d.path)
}

func BenchmarkCreateReportClose(b *testing.B) {
	d := fresh(b)
	for b.Loop() {
		r, err := d.Create(Description{Program: "p"})
		must(b, err)
		must(b, r.WriteReport([]byte("{}")))
		must(b, r.Close())
	}
}
