package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// The kinds of record.
const (
	KindStart    = "start"    // of the run
	KindPolicy   = "policy"   // was loaded
	KindDenial   = "denial"   // of one kind, the first time
	KindRepeated = "repeated" // a denial: Of names its record, Count and Last are as of now
	KindUnlisted = "unlisted" // denials that are counted and have no record of their own
	KindGrant    = "grant"    // while it runs
	KindRevoke   = "revoke"
	KindAnswer   = "answer" // of a person who was asked
	KindEnd      = "end"    // of the run; nothing follows
)

// Record is one line of a log. N, Run, and Prev are set when it is added.
type Record struct {
	Version  int       `json:"version"`
	N        uint64    `json:"n"` // from 1
	Run      string    `json:"run"`
	Time     time.Time `json:"time"`
	Severity string    `json:"severity"` // notice, or warning where something was refused or changed
	Kind     string    `json:"kind"`

	Program string   `json:"program,omitempty"` // of start
	Domain  string   `json:"domain,omitempty"`
	Grants  []string `json:"grants,omitempty"` // of start, as flags
	Cause   string   `json:"cause,omitempty"`  // of end
	Detail  string   `json:"detail,omitempty"`

	Event     string     `json:"event,omitempty"` // of denials
	Code      string     `json:"code,omitempty"`
	Syscall   string     `json:"syscall,omitempty"`
	Via       string     `json:"via,omitempty"`
	Layer     string     `json:"layer,omitempty"`
	Rule      string     `json:"rule,omitempty"`
	Requested string     `json:"requested,omitempty"`
	Canonical string     `json:"canonical,omitempty"`
	Grant     string     `json:"grant,omitempty"`
	Errno     string     `json:"errno,omitempty"`
	Of        uint64     `json:"of,omitempty"`
	Count     uint64     `json:"count,omitempty"`
	First     *time.Time `json:"first,omitempty"`
	Last      *time.Time `json:"last,omitempty"`

	Subject string `json:"subject,omitempty"` // of grant, revoke, and answer: what it is about
	Was     string `json:"was,omitempty"`
	Is      string `json:"is,omitempty"`

	Prev string `json:"prev"` // the hash of the record before, or of the run's beginning
	// Hash stands last on the line and is over every byte before it.
	Hash string `json:"hash,omitempty"`
}

// Hash is a link of the chain.
type Hash [sha256.Size]byte

// String returns h in hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// genesis is what the first record of a run follows: logs of two runs have no record in
// common, and none can be taken into the other.
func genesis(run string) Hash {
	return sha256.Sum256([]byte("agentos audit 1\n" + run))
}

// link is the hash of a record. body is its line up to the comma before the hash, as it
// stands: what is hashed are bytes and not what somebody's decoder makes of them.
func link(prev Hash, body []byte) Hash {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(body)
	var sum Hash
	h.Sum(sum[:0])
	return sum
}

const (
	hashKey = `,"hash":"`
	tailLen = len(hashKey) + 2*sha256.Size + len(`"}`)
)

// seal encodes r, whose Prev it sets, as one line.
func seal(r *Record, prev Hash) ([]byte, Hash, error) {
	r.Prev, r.Hash = prev.String(), ""
	line, err := json.Marshal(r)
	if err != nil {
		return nil, Hash{}, err
	}
	body := line[:len(line)-1]
	sum := link(prev, body)
	return append(append(append(body, hashKey...), sum.String()...), "\"}\n"...), sum, nil
}

// open splits a line, without its newline, into its body and its hash.
func open(line []byte) (body []byte, sum Hash, ok bool) {
	if len(line) < tailLen {
		return nil, sum, false
	}
	body, tail := line[:len(line)-tailLen], line[len(line)-tailLen:]
	digits, ok := bytes.CutPrefix(tail, []byte(hashKey))
	if !ok || !bytes.HasSuffix(digits, []byte(`"}`)) {
		return nil, sum, false
	}
	sum, ok = ParseHash(string(digits[:2*sha256.Size]))
	return body, sum, ok
}

// ParseHash reads a hash: 64 hexadecimal digits, small ones as they are written.
func ParseHash(s string) (h Hash, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) || hex.EncodeToString(b) != s {
		return h, false
	}
	copy(h[:], b)
	return h, true
}
