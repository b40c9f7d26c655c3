package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a log.
type Problem struct {
	Record uint64 `json:"record"` // its number; 0 for the log as a whole
	Line   int    `json:"line"`   // in the file; 0 for what is not there
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// The kinds of problem.
const (
	Edited    = "edited"    // a record is not what was hashed, or was hashed anew
	Missing   = "missing"   // records between two others
	Reordered = "reordered" // a record stands where another belongs
	Foreign   = "foreign"   // a record of another run
	Damaged   = "damaged"   // a line is no record
	Truncated = "truncated" // the end is missing
	Appended  = "appended"  // records follow the head
	Rewritten = "rewritten" // the whole chain fits, and not to the head
)

// Result is what a look at a log found.
type Result struct {
	Head     Head      // of the records that stand in a whole chain from the first
	Problems []Problem // in the order of the file, at most maxProblems
	Torn     bool      // the last line was cut short by a crash; it was not acknowledged
	Ended    bool      // the last record says that the run ended
	Checked  bool      // against a head
}

// maxProblems bounds how much is said of one log.
const maxProblems = 100

// Intact reports whether nothing is wrong.
func (r *Result) Intact() bool { return len(r.Problems) == 0 }

// Expected is a head that somebody kept. Records is 0 where only the hash was.
type Expected struct {
	Hash    Hash
	Records uint64
}

// ParseExpected reads HASH or RECORDS:HASH.
func ParseExpected(s string) (Expected, error) {
	var e Expected
	digits := s
	if n, rest, ok := strings.Cut(s, ":"); ok {
		if _, err := fmt.Sscanf(n, "%d", &e.Records); err != nil || e.Records == 0 || fmt.Sprint(e.Records) != n {
			return e, fmt.Errorf("%q is not a number of records", n)
		}
		digits = rest
	}
	var ok bool
	if e.Hash, ok = ParseHash(strings.ToLower(digits)); !ok {
		return e, fmt.Errorf("%q is not a head; it is 64 hexadecimal digits, as in the report", s)
	}
	return e, nil
}

// verifier walks one log.
type verifier struct {
	Result
	run  string
	want Hash            // that the next record follows
	next uint64          // its number
	seen map[uint64]bool // numbers of records that were found whole
	at   map[Hash]uint64
	lost bool   // the line before was no record: what follows from it is not known
	from uint64 // the first number that is not in a whole chain any more, 0 while all is
}

// Verify checks the log of a run. Without a head (nil) it finds what does not fit
// together; a log whose end was cut off at a record, or that was written anew from the
// first record on, fits.
func Verify(run string, data []byte, head *Expected) *Result {
	v := &verifier{run: run, want: genesis(run), next: 1, seen: map[uint64]bool{}, at: map[Hash]uint64{}}
	v.Head.Hash = v.want
	line := 0
	for l := range bytes.Lines(data) {
		line++
		whole, ok := bytes.CutSuffix(l, []byte("\n"))
		if !ok {
			v.Torn = true // it was being written: every write ends with a newline
			break
		}
		v.line(line, whole)
	}
	// What is missing in its place and stands elsewhere has been moved.
	v.Problems = slices.DeleteFunc(v.Problems, func(p Problem) bool { return p.Kind == Missing && v.seen[p.Record] })
	if head != nil {
		v.Checked = true
		v.compare(head)
	}
	return &v.Result
}

func (v *verifier) problem(n uint64, line int, kind, format string, args ...any) {
	if v.from == 0 {
		v.from = v.next
	}
	if len(v.Problems) < maxProblems {
		v.Problems = append(v.Problems, Problem{n, line, kind, fmt.Sprintf(format, args...)})
	}
}

// line checks one line against what came before.
func (v *verifier) line(line int, b []byte) {
	body, sum, ok := open(b)
	var r Record
	if ok {
		ok = json.Unmarshal(b, &r) == nil && r.N != 0
	}
	if !ok {
		v.problem(v.next, line, Damaged, "line %d, where record %d belongs, is no record", line, v.next)
		v.next++
		v.lost = true
		return
	}
	prev, prevOK := ParseHash(r.Prev)
	whole := prevOK && link(prev, body) == sum
	switch {
	case r.Run != v.run:
		v.problem(r.N, line, Foreign, "record %d on line %d is of run %.40q", r.N, line, r.Run)
		return // the records around it are judged without it
	case !whole:
		v.problem(r.N, line, Edited, "record %d on line %d is not what was hashed", r.N, line)
	case r.N > v.next:
		kind, detail := Missing, fmt.Sprintf("record %d is missing before line %d", v.next, line)
		if r.N > v.next+1 {
			detail = fmt.Sprintf("records %d to %d are missing before line %d", v.next, r.N-1, line)
		}
		v.problem(v.next, line, kind, "%s", detail)
	case r.N < v.next:
		v.problem(r.N, line, Reordered, "record %d stands on line %d, where record %d belongs", r.N, line, v.next)
		v.seen[r.N], v.at[sum] = true, r.N
		return // as if it were not there
	case prev != v.want && !v.lost:
		v.problem(r.N-1, line, Edited, "record %d does not follow from the one before it: record %d was hashed anew", r.N, r.N-1)
	}
	if whole {
		v.seen[r.N] = true
		v.at[sum] = r.N
	}
	v.Ended = r.Kind == KindEnd
	v.want, v.next, v.lost = sum, max(v.next, r.N+1), false
	if v.from == 0 {
		v.Head = Head{sum, r.N}
	}
}

// compare holds the log to a head that was kept.
func (v *verifier) compare(head *Expected) {
	last := v.Head
	if v.from == 0 && last.Hash == head.Hash && (head.Records == 0 || head.Records == last.Records) {
		return
	}
	if n, ok := v.at[head.Hash]; ok {
		if v.from == 0 && n < last.Records {
			v.problem(n+1, 0, Appended, "%d records follow record %d, which the head is of", last.Records-n, n)
		} else if v.from == 0 {
			v.problem(0, 0, Rewritten, "the head is of record %d and not of %d", n, head.Records)
		}
		return
	}
	switch {
	case v.from != 0: // what is wrong is named already
		v.problem(0, 0, Truncated, "the record that the head is of is not in the log")
	case head.Records > last.Records:
		v.problem(last.Records+1, 0, Truncated, "records %d to %d are missing at the end", last.Records+1, head.Records)
	case head.Records != 0:
		v.problem(head.Records, 0, Rewritten, "record %d is not the one that the head is of: the chain was written anew", head.Records)
	default:
		v.problem(last.Records+1, 0, Truncated, "the record that the head is of is not in the log: its end is missing after record %d, or the chain was written anew", last.Records)
	}
}
