package event

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// all reads whatever r has, holding nothing back.
func all(r *Reader) (recs []Record, lost uint64) {
	buf := make([]Record, 7) // small, so that merging goes over several calls
	for {
		n, l := r.Flush(buf)
		recs = append(recs, buf[:n]...)
		lost += l
		if n < len(buf) {
			return recs, lost
		}
	}
}

func syscallEvent(pid abi.PID, a uint64) *Event {
	return &Event{Category: abi.CatSyscall, Severity: abi.Info, Kind: KindSyscall(abi.SysRead), PID: pid, A: a}
}

func TestNilStream(t *testing.T) {
	var s *Stream
	for c := range abi.NumCategories {
		if s.On(c) {
			t.Errorf("On(%v) on a nil stream", c)
		}
	}
	if id := s.Emit(syscallEvent(1, 2)); id != 0 {
		t.Errorf("Emit returned %v", id)
	}
	s.SetCategories(AllCategories)
	if st := s.Stats(); st != (Stats{}) {
		t.Errorf("Stats: %+v", st)
	}
	if s.Pressure() != nil {
		t.Error("Pressure is not nil")
	}
	r := s.NewReader()
	if n, lost := r.Next(make([]Record, 4)); n != 0 || lost != 0 {
		t.Errorf("Next: %d, %d", n, lost)
	}
	if p := r.Point(); p != nil || !r.Passed(p) {
		t.Error("a nil reader has a point")
	}
	if other := r.Losses(func(abi.PID, uint64) { t.Error("a loss") }); other != 0 {
		t.Error("a loss")
	}
	r.Skip()
	r.Close()
}

func TestRoundTrip(t *testing.T) {
	s := New(Options{Records: 64})
	r := s.NewReader()
	defer r.Close()

	start := Now()
	e := Event{
		Category: abi.CatSecurity, Severity: abi.Warning, Errno: abi.EACCES, Kind: KindDenial,
		PID: 42, Chain: 1 << 60, Parent: 77, Start: start, End: Now(),
		A: uint64(abi.SysOpen), B: uint64(abi.LayerPath),
		Text: "/data/\xff", Text2: "no grant", Via: "path_open",
	}
	id := s.Emit(&e)
	plain := s.Emit(&Event{Category: abi.CatKernel, Kind: KindBoot})
	recs, lost := all(r)
	if len(recs) != 2 || lost != 0 {
		t.Fatalf("%d records, %d lost", len(recs), lost)
	}
	got := recs[0]
	if got.TimeNS == 0 || got.DurNS < 0 {
		t.Errorf("time %d, duration %d", got.TimeNS, got.DurNS)
	}
	got.TimeNS, got.DurNS = 0, 0
	want := Record{
		ID: id, Parent: 77, Chain: 1 << 60, PID: 42, Category: abi.CatSecurity, Severity: abi.Warning,
		Kind: KindDenial, Errno: abi.EACCES, A: uint64(abi.SysOpen), B: uint64(abi.LayerPath),
		Text: "/data/\xff", Text2: "no grant", Via: "path_open",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if recs[1].ID != plain || recs[1].Text != "" || recs[1].Via != "" || recs[1].DurNS != 0 {
		t.Errorf("second: %+v", recs[1])
	}
	if recs[1].TimeNS < recs[0].TimeNS {
		t.Errorf("second at %d, before the first at %d", recs[1].TimeNS, recs[0].TimeNS)
	}
	if got, ok := abi.ParseEventID(id.String()); !ok || got != id {
		t.Errorf("id %v reads back as %v, %v", id, got, ok)
	}
}

func TestCategoriesOff(t *testing.T) {
	s := New(Options{Records: 64, Categories: CategorySet(abi.CatSecurity)})
	if s.On(abi.CatSyscall) || !s.On(abi.CatSecurity) || s.On(abi.NumCategories) || s.On(255) {
		t.Error("On disagrees with the set")
	}
	if id := s.Emit(syscallEvent(1, 0)); id != 0 {
		t.Error("an event that is off was recorded")
	}
	if id := s.Emit(&Event{Category: 200}); id != 0 {
		t.Error("a category that does not exist was recorded")
	}
	s.SetCategories(AllCategories)
	if id := s.Emit(syscallEvent(1, 0)); id == 0 {
		t.Error("SetCategories had no effect")
	}
}

func TestTextCut(t *testing.T) {
	s := New(Options{Records: 64})
	r := s.NewReader()
	defer r.Close()
	long := strings.Repeat("x", MaxTextBulk-1) + "ü" + "tail"
	s.Emit(&Event{Category: abi.CatSyscall, Kind: KindSyscall(abi.SysOpen), Text: long})
	s.Emit(&Event{Category: abi.CatSecurity, Kind: KindDenial, Severity: abi.Critical,
		Text: strings.Repeat("\x80", MaxText+9), Text2: strings.Repeat("y", MaxText)})
	recs, _ := all(r)
	if len(recs) != 2 {
		t.Fatalf("%d records", len(recs))
	}
	if got := recs[0]; !got.Cut || got.Text != long[:MaxTextBulk-1] {
		t.Errorf("cut %v, %d bytes; want a cut before the character", got.Cut, len(got.Text))
	}
	if got := recs[1]; !got.Cut || len(got.Text) != MaxText || len(got.Text2) != MaxText || got.Severity != abi.Critical {
		t.Errorf("cut %v, %d and %d bytes, %v", got.Cut, len(got.Text), len(got.Text2), got.Severity)
	}
}

// TestTextLost overwrites texts while their records survive.
func TestTextLost(t *testing.T) {
	s := New(Options{Records: 1024, Text: 1})
	r := s.NewReader()
	defer r.Close()
	text := func(i int) string { return fmt.Sprintf("%0*d", MaxTextBulk, i) }
	const n = 64
	for i := range n {
		e := syscallEvent(1, uint64(i))
		e.Kind, e.Text = KindSyscall(abi.SysOpen), text(i)
		s.Emit(e)
	}
	recs, lost := all(r)
	if len(recs) != n || lost != 0 {
		t.Fatalf("%d records, %d lost", len(recs), lost)
	}
	gone := 0
	for _, rec := range recs {
		switch {
		case rec.TextLost && rec.Text == "":
			gone++
		case rec.TextLost || rec.Text != text(int(rec.A)):
			t.Fatalf("record %d has another's text", rec.A)
		}
	}
	if gone == 0 || gone == n {
		t.Errorf("%d of %d texts are gone", gone, n)
	}
}

func TestLossIsExact(t *testing.T) {
	s := New(Options{Records: 1})
	early := s.NewReader()
	defer early.Close()
	const n = 5000
	for i := range n {
		s.Emit(syscallEvent(abi.PID(1+i%3), uint64(i)))
	}
	late := s.NewReader()
	defer late.Close()
	recs, lost := all(early)
	if uint64(len(recs))+lost != n || lost == 0 {
		t.Errorf("%d delivered and %d lost of %d", len(recs), lost, n)
	}
	delivered, missing := map[abi.PID]uint64{}, map[abi.PID]uint64{}
	for _, rec := range recs {
		delivered[rec.PID]++
	}
	if other := early.Losses(func(pid abi.PID, n uint64) { missing[pid] += n }); other != 0 {
		t.Errorf("%d losses of three processes are nobody's", other)
	}
	for pid := abi.PID(1); pid <= 3; pid++ {
		emitted := uint64(n+3-int(pid)) / 3
		if delivered[pid]+missing[pid] != emitted {
			t.Errorf("process %d: %d delivered and %d lost of %d", pid, delivered[pid], missing[pid], emitted)
		}
	}
	if recs, lost := all(late); len(recs) != 0 || lost != 0 {
		t.Errorf("a new reader got %d old records and missed %d", len(recs), lost)
	}
	st := s.Stats()
	if st.Emitted[abi.CatSyscall] != n || st.Total() != n || st.Overwritten[abi.CatSyscall] != lost {
		t.Errorf("stats: %+v; %d lost", st, lost)
	}
}

// TestLossOfManyProcesses loses more processes' records than a cursor names.
func TestLossOfManyProcesses(t *testing.T) {
	s := New(Options{Records: 1})
	r := s.NewReader()
	defer r.Close()
	const n = 4 * lossSlots * 16
	for i := range n {
		s.Emit(syscallEvent(abi.PID(i), 0))
	}
	recs, lost := all(r)
	var named uint64
	other := r.Losses(func(_ abi.PID, n uint64) { named += n })
	if named+other != lost || other == 0 || named == 0 || uint64(len(recs))+lost != n {
		t.Errorf("%d named and %d others of %d lost, %d delivered of %d", named, other, lost, len(recs), n)
	}
}

// TestFloor floods with calls, and then with denials, and expects the others
// untouched.
func TestFloor(t *testing.T) {
	s := New(Options{Records: 256})
	r := s.NewReader()
	defer r.Close()
	s.Emit(&Event{Category: abi.CatProcess, Kind: KindSpawn, PID: 9})
	s.Emit(&Event{Category: abi.CatSecurity, Kind: KindDenial, PID: 9})
	for i := range 10000 {
		s.Emit(syscallEvent(1, uint64(i)))
		// A guest may raise signals as it likes, too.
		s.Emit(&Event{Category: abi.CatProcess, Kind: KindSyscall(abi.SysRaise), PID: 1})
	}
	recs, lost := all(r)
	if lost == 0 {
		t.Fatal("the flood was no flood")
	}
	count := map[Kind]int{}
	for _, rec := range recs {
		count[rec.Kind]++
	}
	if count[KindSpawn] != 1 || count[KindDenial] != 1 {
		t.Errorf("calls washed away: %d spawns, %d denials left", count[KindSpawn], count[KindDenial])
	}
	s.Emit(&Event{Category: abi.CatProcess, Kind: KindEnd, PID: 9})
	for range 10000 {
		s.Emit(&Event{Category: abi.CatSecurity, Kind: KindDenial, PID: 1})
	}
	recs, _ = all(r)
	for _, rec := range recs {
		if rec.Kind == KindEnd {
			return
		}
	}
	t.Error("denials washed the end of a process away")
}

// TestClaimed holds rings as a reader does, and expects writers to go elsewhere.
func TestClaimed(t *testing.T) {
	s := New(Options{Records: 4096})
	r := s.NewReader()
	defer r.Close()
	set := s.classes[Bulk].rings
	for i, held := range set {
		if !held.try() {
			t.Fatal("claimed by nobody")
		}
		for range 8 {
			id := s.Emit(syscallEvent(1, 0))
			if id == 0 || uint64(id)&(1<<ringBits-1) == held.number {
				t.Errorf("ring %d held: event went to %v", i, id)
			}
		}
		held.release()
	}
	for _, g := range set {
		if !g.try() {
			t.Fatal("claimed by nobody")
		}
	}
	if id := s.Emit(syscallEvent(1, 0)); id != 0 {
		t.Errorf("every ring held: event went to %v", id)
	}
	for _, g := range set {
		g.release()
	}
	recs, lost := all(r)
	if len(recs) != 8*len(set) || lost != 1 {
		t.Errorf("%d records and %d lost; want %d and 1", len(recs), lost, 8*len(set))
	}
	if other := r.Losses(func(abi.PID, uint64) { t.Error("a dropped event has an owner") }); other != 1 {
		t.Errorf("%d not attributed, want 1", other)
	}
	if st := s.Stats(); st.Dropped != 1 {
		t.Errorf("stats: %+v", st)
	}
}

// TestHeldBack emits an event stamped a little ahead of the reader's clock, and
// one stamped absurdly far ahead.
func TestHeldBack(t *testing.T) {
	for _, test := range []struct {
		name  string
		ahead Ticks
		held  bool
	}{{"ahead", farAhead / 2, true}, {"another clock", farAhead * 2, false}} {
		t.Run(test.name, func(t *testing.T) {
			s := New(Options{Records: 64})
			r := s.NewReader()
			defer r.Close()
			e := syscallEvent(1, 0)
			e.End = Now() + test.ahead
			s.Emit(e)
			buf := make([]Record, 4)
			if n, _ := r.Next(buf); (n == 0) != test.held {
				t.Errorf("Next returned %d", n)
			}
			p := r.Point()
			if r.Passed(p) == test.held {
				t.Errorf("Passed is %v", test.held)
			}
			if n, _ := r.Flush(buf); (n == 1) != test.held {
				t.Errorf("Flush returned %d", n)
			}
			if !r.Passed(p) {
				t.Error("not passed at the end")
			}
			// The ring must have come back to this clock.
			s.Emit(syscallEvent(1, 1))
			if test.held {
				return
			}
			if n, _ := r.Next(buf); n != 1 {
				t.Errorf("the next event is not delivered")
			}
		})
	}
}

func TestPoint(t *testing.T) {
	s := New(Options{Records: 64})
	r := s.NewReader()
	defer r.Close()
	before := s.Emit(syscallEvent(1, 0))
	p := r.Point()
	after := s.Emit(syscallEvent(1, 1))
	if !p.Before(before) || p.Before(after) {
		t.Errorf("Before(%v)=%v, Before(%v)=%v", before, p.Before(before), after, p.Before(after))
	}
	if r.Passed(p) {
		t.Error("passed before reading")
	}
	all(r)
	if !r.Passed(p) || r.Passed(Point{1 << 40}) {
		t.Error("Passed is wrong after reading")
	}
	for range 1000 {
		s.Emit(syscallEvent(1, 2))
	}
	r.Skip()
	if recs, lost := all(r); len(recs) != 0 || lost != 0 {
		t.Errorf("after Skip: %d records, %d lost", len(recs), lost)
	}
}

func TestClosedReaderCostsNothing(t *testing.T) {
	s := New(Options{Records: 64})
	a, b := s.NewReader(), s.NewReader()
	a.Close()
	for _, g := range s.rings {
		if len(g.cursors) != 1 {
			t.Fatalf("%d cursors after one of two readers was closed", len(g.cursors))
		}
	}
	b.Close()
	for _, g := range s.rings {
		if len(g.cursors) != 0 {
			t.Fatalf("%d cursors after both readers were closed", len(g.cursors))
		}
	}
}

func TestPressure(t *testing.T) {
	s := New(Options{Records: 64})
	select {
	case <-s.Pressure():
		t.Error("pressure on an empty stream")
	default:
	}
	for range s.Stats().Records {
		s.Emit(syscallEvent(1, 0))
	}
	select {
	case <-s.Pressure():
	default:
		t.Error("no pressure on a full stream")
	}
}

func TestEmitAllocatesNothing(t *testing.T) {
	s := New(Options{Records: 256})
	r := s.NewReader()
	defer r.Close()
	n := testing.AllocsPerRun(2000, func() {
		e := Event{Category: abi.CatSyscall, Kind: KindSyscall(abi.SysRename), PID: 1, Text: "/from", Text2: "/to", Via: "path_rename"}
		e.Start = Now()
		e.End = Now()
		s.Emit(&e)
	})
	if n != 0 {
		t.Errorf("%v allocations for each event", n)
	}
}

func TestNames(t *testing.T) {
	var n names
	if n.id("") != 0 || n.name(0) != "" {
		t.Error("the empty name has an id")
	}
	ids := map[uint16]string{}
	full := 0
	for i := range 3 * nameSlots {
		s := fmt.Sprintf("name_%d", i)
		id := n.id(s)
		if id == otherName {
			full++
			continue
		}
		if have, dup := ids[id]; dup {
			t.Fatalf("%q and %q share id %d", have, s, id)
		}
		ids[id] = s
	}
	if full == 0 || len(ids) > nameSlots {
		t.Errorf("%d names, %d refused: the table is not bounded", len(ids), full)
	}
	for id, s := range ids {
		if n.name(id) != s || n.id(s) != id {
			t.Errorf("%q does not come back from %d", s, id)
		}
	}
	if n.name(otherName) != "?" || n.name(^uint16(0)) != "?" {
		t.Error("an unknown id has a name")
	}
}

func TestKinds(t *testing.T) {
	seen := map[string]Kind{}
	for _, k := range Kinds() {
		info := k.Info()
		if have, dup := seen[info.Name]; dup || info.Name == "" || info.Name == "?" {
			t.Errorf("kind %d is named %q, as is %d", k, info.Name, have)
		}
		seen[info.Name] = k
		if got, ok := ParseKind(k.String()); !ok || got != k {
			t.Errorf("%v parses as %d, %v", k, got, ok)
		}
		attrs := map[string]bool{"": false, "truncated": true, "text_lost": true}
		for _, name := range []string{info.A.Name, info.B.Name, info.Text.Name, info.Text2.Name} {
			if attrs[name] {
				t.Errorf("%v has two attributes named %q", k, name)
			}
			if name != "" {
				attrs[name] = true
			}
		}
		if info.Class >= numClasses {
			t.Errorf("%v is of class %d", k, info.Class)
		}
		nr, ok := k.Sysno()
		if ok != (k < firstKind) || ok && (KindSyscall(nr) != k || nr.String() != k.String()) {
			t.Errorf("%v is operation %v, %v", k, nr, ok)
		}
	}
	for _, k := range []Kind{Kind(abi.NumSys), firstKind - 1, endKind, ^Kind(0)} {
		if k.String() != "?" {
			t.Errorf("kind %d, which does not exist, is named %q", k, k)
		}
	}
	if _, ok := ParseKind("?"); ok {
		t.Error("? is a kind")
	}
	if got := KindDenial.Info().B.Symbol(uint64(abi.LayerPath)); got != "path" {
		t.Errorf("layer is shown as %q", got)
	}
	if got := KindDenial.Info().B.Symbol(1 << 40); got != "1099511627776" {
		t.Errorf("a layer that does not exist is shown as %q", got)
	}
}

// TestInlining asks the compiler whether the gate of a category that is off is
// inlined into its callers.
func TestInlining(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("NOT CHECKED: inlining: %v", err)
	}
	out, err := exec.Command(tool, "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"can inline (*Stream).On", "can inline (*ring).try", "can inline (*ring).release"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the compiler does not say %q", want)
		}
	}
}
