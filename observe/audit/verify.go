package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds a line, in bytes.
const maxLine = 1 << 20

// Result is what a log turned out to be.
type Result struct {
	Head Head   // of the part that is intact
	Torn int    // bytes at the end that are no whole line, as a crash leaves
	Line uint64 // the first that is wrong, 0 if none is
	What string // what is wrong with it
}

// Intact reports whether nothing is wrong.
func (r *Result) Intact() bool { return r.Line == 0 }

// Verify reads the log of a run and finds the first line that is not what it was. each, if
// it is not nil, is given every record that is intact. The error is one of reading.
//
// Without a head it proves only that the log fits together: whoever can write the file can
// write another that does. kept, if it is not nil, is a head of former times: the log must
// have been like that once.
func Verify(r io.Reader, run string, kept *Head, each func(*Record)) (*Result, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	res := &Result{Head: Empty(run)}
	met := kept == nil || *kept == res.Head
	for {
		line, err := readLine(in)
		if err == io.EOF {
			res.Torn = len(line)
			break
		}
		if err != nil && !errors.Is(err, errLong) {
			return nil, err
		}
		rec, hash, what := parse(line, run, res.Head)
		if errors.Is(err, errLong) {
			what = err.Error()
		}
		if what != "" {
			res.Line, res.What = res.Head.Records+1, what
			return res, nil
		}
		res.Head = Head{Records: rec.Seq, Hash: hash}
		if kept != nil && res.Head.Records == kept.Records {
			if met = res.Head == *kept; !met {
				res.Line, res.What = rec.Seq, "it, or one before it, was replaced: the digest is not the one that was kept"
				return res, nil
			}
		}
		if each != nil {
			each(rec)
		}
	}
	switch {
	case met:
	case kept.Records == 0:
		res.Line, res.What = 1, "the head that was kept is not of this run"
	default:
		res.Line, res.What = res.Head.Records+1, fmt.Sprintf("it is missing: the log had %d records", kept.Records)
	}
	return res, nil
}

var errLong = fmt.Errorf("it has more than %d bytes", maxLine)

// readLine returns a line without its newline; io.EOF with what follows the last one.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxLine {
			return nil, errLong
		}
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return line, err
		}
	}
}

// parse takes a line apart and says what is wrong with it.
func parse(line []byte, run string, before Head) (rec *Record, hash, what string) {
	i := bytes.LastIndex(line, []byte(hashField))
	if i < 0 || len(line) != i+len(hashField)+64+2 || !bytes.HasSuffix(line, []byte(`"}`)) {
		return nil, "", "it does not end with a digest"
	}
	hash = string(line[i+len(hashField) : len(line)-2])
	if digest(before.Hash, append(line[:i:i], '}')) != hash {
		return nil, "", "it was changed, or one before it was removed, inserted, or moved: its digest does not follow from what is there"
	}
	rec = new(Record)
	if err := json.Unmarshal(line, rec); err != nil {
		return nil, "", "it is not JSON: " + err.Error()
	}
	switch {
	case rec.Version > Version:
		return nil, "", fmt.Sprintf("it has version %d, which this program does not know", rec.Version)
	case rec.Run != run:
		return nil, "", "it is of run " + rec.Run
	case rec.Seq != before.Records+1:
		return nil, "", fmt.Sprintf("it is number %d", rec.Seq)
	}
	return rec, hash, ""
}
