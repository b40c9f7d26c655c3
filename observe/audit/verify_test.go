package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// written makes a log of n records and an end.
func written(t testing.TB, run string, n int) ([]byte, Head) {
	t.Helper()
	m := new(memory)
	l := Open(m, run)
	for i := range n {
		l.Add(Record{Kind: KindGrant, Subject: fmt.Sprint("/", i), Was: "deny", Is: "read"})
	}
	head, err := l.Close(Record{Kind: KindEnd, Cause: "exited"})
	if err != nil {
		t.Fatal(err)
	}
	return m.b, head
}

// rewrite seals records anew, as somebody would who knows how the chain is made.
func rewrite(t *testing.T, run string, lines [][]byte, change func(i int, r *Record)) []byte {
	t.Helper()
	var out []byte
	prev := genesis(run)
	for i, line := range lines {
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		change(i, &r)
		b, sum, err := seal(&r, prev)
		if err != nil {
			t.Fatal(err)
		}
		out, prev = append(out, b...), sum
	}
	return out
}

// TestTampering: each way to change a log is found with a head that was kept, and named;
// consistent says that it cannot be found without one.
func TestTampering(t *testing.T) {
	data, head := written(t, "r1", 5)
	other, _ := written(t, "r2", 5)
	lines, others := slices.Collect(bytes.Lines(data)), slices.Collect(bytes.Lines(other))
	join := func(l ...[]byte) []byte { return bytes.Join(l, nil) }
	anew := func(n int, change func(r *Record)) []byte {
		return rewrite(t, "r1", lines, func(i int, r *Record) {
			if i == n-1 {
				change(r)
			}
		})
	}
	edit := func(n int) []byte { return bytes.Replace(lines[n-1], []byte("read"), []byte("none"), 1) }
	one := anew(3, func(r *Record) { r.Is = "none" })
	for _, c := range []struct {
		name       string
		data       []byte
		kind       string
		record     uint64
		consistent bool
	}{
		{"edit", join(lines[0], lines[1], edit(3), lines[3], lines[4], lines[5]), Edited, 3, false},
		{"edit of one, hashed anew", join(lines[0], lines[1], slices.Collect(bytes.Lines(one))[2], lines[3], lines[4], lines[5]), Edited, 3, false},
		{"edit of one, all hashed anew", one, Rewritten, 6, true},
		{"delete", join(lines[0], lines[1], lines[3], lines[4], lines[5]), Missing, 3, false},
		{"delete the first", join(lines[1:]...), Missing, 1, false},
		{"swap", join(lines[0], lines[2], lines[1], lines[3], lines[4], lines[5]), Reordered, 2, false},
		{"twice", join(lines[0], lines[1], lines[1], lines[2], lines[3], lines[4], lines[5]), Reordered, 2, false},
		{"truncate", join(lines[:4]...), Truncated, 5, true},
		{"truncate all", nil, Truncated, 1, true},
		{"truncate within a line", data[:len(data)-10], Truncated, 6, true},
		{"splice", join(lines[0], lines[1], others[2], lines[3], lines[4], lines[5]), Foreign, 3, false},
		{"another run's", other, Foreign, 1, false},
		{"no record", join(lines[0], []byte("{}\n"), lines[2], lines[3], lines[4], lines[5]), Damaged, 2, false},
		{"white space", join(lines[0], bytes.Replace(lines[1], []byte(`"n":2`), []byte(`"n": 2`), 1), lines[2], lines[3], lines[4], lines[5]), Edited, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Verify("r1", c.data, &Expected{Hash: head.Hash, Records: head.Records})
			if r.Intact() || r.Problems[0].Kind != c.kind || r.Problems[0].Record != c.record {
				t.Errorf("with a head: %+v", r.Problems)
			}
			if r := Verify("r1", c.data, &Expected{Hash: head.Hash}); r.Intact() {
				t.Error("with the hash of a head alone it is intact")
			}
			if r := Verify("r1", c.data, nil); r.Intact() != c.consistent {
				t.Errorf("without a head: %+v", r.Problems)
			}
		})
	}
	for n := 1; n <= 2; n++ { // one problem is said once
		if r := Verify("r1", join(lines[0], edit(2), lines[2], lines[3], lines[4], lines[5]), nil); len(r.Problems) != 1 {
			t.Errorf("%+v", r.Problems)
		}
	}
	if r := Verify("r1", data, &Expected{Hash: head.Hash, Records: head.Records}); !r.Intact() || r.Head != head || !r.Checked {
		t.Errorf("untouched: %+v", r)
	}
}

// TestAppended: what was added after the head is found, whoever hashed it.
func TestAppended(t *testing.T) {
	data, head := written(t, "r1", 3)
	r := Record{Version: 1, N: head.Records + 1, Run: "r1", Kind: KindGrant}
	line, _, err := seal(&r, head.Hash)
	if err != nil {
		t.Fatal(err)
	}
	longer := append(bytes.Clone(data), line...)
	if v := Verify("r1", longer, &Expected{Hash: head.Hash}); v.Intact() || v.Problems[0].Kind != Appended {
		t.Errorf("%+v", v.Problems)
	}
	if v := Verify("r1", longer, nil); !v.Intact() || v.Ended {
		t.Errorf("without a head: %+v", v)
	}
}

// TestTorn: a crash cuts the last line at any byte. What is before it is intact.
func TestTorn(t *testing.T) {
	data, _ := written(t, "r1", 2)
	lines := slices.Collect(bytes.Lines(data))
	whole := len(lines[0]) + len(lines[1])
	for n := whole + 1; n < len(data); n++ {
		if r := Verify("r1", data[:n], nil); !r.Intact() || !r.Torn || r.Head.Records != 2 {
			t.Fatalf("%d bytes: %+v", n, r)
		}
	}
}

func TestParseExpected(t *testing.T) {
	_, head := written(t, "r1", 1)
	for _, s := range []string{head.Hash.String(), fmt.Sprintf("2:%s", head.Hash)} {
		if e, err := ParseExpected(s); err != nil || e.Hash != head.Hash {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{"", "abc", "0:" + head.Hash.String(), "x:" + head.Hash.String(), "-1:" + head.Hash.String(), head.Hash.String() + "0", "02:" + head.Hash.String()} {
		if _, err := ParseExpected(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

// FuzzVerify: no content breaks the reader, and nothing but the log that was written is
// intact to its head.
func FuzzVerify(f *testing.F) {
	data, head := written(f, "r1", 4)
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add(bytes.ReplaceAll(data, []byte("read"), []byte("none")))
	f.Add([]byte("{\"n\":1,\"hash\":\"\"}\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := Verify("r1", b, &Expected{Hash: head.Hash, Records: head.Records})
		// A torn line at the end was never a record.
		same := bytes.HasPrefix(b, data) && !bytes.Contains(b[len(data):], []byte("\n"))
		if r.Intact() != same {
			t.Errorf("intact is %v: %+v", r.Intact(), r.Problems)
		}
		if len(r.Problems) > maxProblems+1 {
			t.Errorf("%d problems", len(r.Problems))
		}
		Verify("r1", b, nil)
	})
}
