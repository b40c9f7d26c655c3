package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Version is the version field of each record.
const Version = 1

// The kinds of records.
const (
	KindStart  = "start"  // of the run: program, grants, policies
	KindDenial = "denial" // the first of its kind, and again as its count grows
	KindGrant  = "grant"
	KindRevoke = "revoke"
	KindAsk    = "ask" // what a person answered
	KindEnd    = "end"
)

// Record is one line.
type Record struct {
	Version int             `json:"version"`
	Seq     uint64          `json:"seq"` // 1 is the first
	Time    time.Time       `json:"time"`
	Run     string          `json:"run"`
	Kind    string          `json:"kind"`
	Body    json.RawMessage `json:"body"`
	Hash    string          `json:"hash,omitempty"`
}

// Head is the end of a log: how many records it has and the digest of the last. Who keeps
// it can hold the log to it.
type Head struct {
	Records uint64
	Hash    string
}

// String is the form in which heads are kept: RECORDS:HASH.
func (h Head) String() string { return fmt.Sprintf("%d:%s", h.Records, h.Hash) }

// ParseHead reads what String wrote.
func ParseHead(s string) (Head, error) {
	n, hash, ok := strings.Cut(s, ":")
	var h Head
	if _, err := fmt.Sscanf(n, "%d", &h.Records); err != nil || !ok || fmt.Sprint(h.Records) != n {
		return Head{}, fmt.Errorf("%q is not a head; it has the form RECORDS:HASH", s)
	}
	if b, err := hex.DecodeString(hash); err != nil || len(b) != sha256.Size || strings.ToLower(hash) != hash {
		return Head{}, fmt.Errorf("%q is not a head: what follows the colon is no digest of 64 digits", s)
	}
	h.Hash = hash
	return h, nil
}

// Empty is the head of a run's log that has no records.
func Empty(run string) Head {
	sum := sha256.Sum256([]byte("agentos audit log of run " + run))
	return Head{Hash: hex.EncodeToString(sum[:])}
}

// digest is that of a line without its hash, after a head.
func digest(before string, line []byte) string {
	h := sha256.New()
	h.Write([]byte(before))
	h.Write(line)
	return hex.EncodeToString(h.Sum(nil))
}

// hashField precedes the digest in a line.
const hashField = `,"hash":"`

// File is what a log is written to. It is positioned at its end by whoever opened it.
type File interface {
	io.Writer
	Truncate(size int64) error
	Sync() error
	Close() error
}

// Log appends records. It is safe for concurrent use.
type Log struct {
	run  string
	open func() (File, error)

	mu   sync.Mutex
	file File  // guarded by mu; nil until the first record
	size int64 // guarded by mu; of the whole records
	head Head  // guarded by mu
	err  error // guarded by mu; the first that made it incomplete
	done bool  // guarded by mu
}

// New makes the log of a run. open opens its file, when there is something to be written.
func New(run string, open func() (File, error)) *Log {
	return &Log{run: run, open: open, head: Empty(run)}
}

// Open opens the file now, to find out whether that is possible.
func (l *Log) Open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opened()
}

func (l *Log) opened() error {
	if l.file != nil || l.err != nil {
		return l.err
	}
	l.file, l.err = l.open()
	return l.err
}

var errClosed = errors.New("the log is closed")

// Append writes a record. After an error nothing is written any more: a log with a gap
// would pretend to be whole.
func (l *Log) Append(kind string, body any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return errClosed
	}
	if err := l.opened(); err != nil {
		return err
	}
	line, err := json.Marshal(&Record{Version: Version, Seq: l.head.Records + 1, Time: time.Now().UTC(), Run: l.run, Kind: kind, Body: b})
	if err != nil {
		return err
	}
	hash := digest(l.head.Hash, line)
	line = append(line[:len(line)-1], hashField+hash+"\"}\n"...)
	if _, err := l.file.Write(line); err != nil {
		l.err = errors.Join(err, l.file.Truncate(l.size)) // a torn line is none
		return l.err
	}
	l.size += int64(len(line))
	l.head = Head{Records: l.head.Records + 1, Hash: hash}
	return nil
}

// Head returns the end of what was written.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Err returns what made the log incomplete, if anything did.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close has the storage keep what was written, and ends the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return nil
	}
	l.done = true
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.file.Sync(), l.file.Close())
	if l.err == nil {
		l.err = err
	}
	return err
}
