package cli

import (
	"encoding/json"
	"errors"
	"io"
	"os"

	agentos "github.com/agentos-kernel/agentos"
)

// files are what --report and --events name. They are opened before anything
// runs, so that a bad path is refused, and written through the handle: a program
// with a write grant around them may move or replace the names, and must not
// thereby choose what is written to.
type files struct {
	report, events *outFile
	errs           []error
}

// outFile is one output file, held open.
type outFile struct {
	flag, path string
	f          *os.File
	err        error // the first of writing
}

func openFiles(f *runFlags) (*files, error) {
	fs := &files{}
	var err error
	if f.report != "" {
		if fs.report, err = openOut("--report", f.report, 0); err != nil {
			return nil, err
		}
	}
	if f.events != "" {
		if fs.events, err = openOut("--events", f.events, os.O_TRUNC); err != nil {
			fs.report.discard()
			return nil, err
		}
	}
	if fs.report != nil && fs.events != nil {
		a, aerr := fs.report.f.Stat()
		b, berr := fs.events.f.Stat()
		if err := errors.Join(aerr, berr); err != nil || os.SameFile(a, b) {
			fs.report.discard()
			fs.events.discard()
			if err != nil {
				return nil, refuse(CodeOutput, "--report and --events", "cannot be examined: "+reason(err), "")
			}
			return nil, refuse(CodeOutput, "--report and --events", "name the same file", "name two files")
		}
	}
	return fs, nil
}

func openOut(flag, path string, trunc int) (*outFile, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, refuse(CodeOutput, flag+" "+path, "is a directory", "name a file in it")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|trunc, 0o600)
	if err != nil {
		return nil, &Failure{Status: statusRefused, Code: CodeOutput, Where: flag + " " + path, Problem: "cannot be written: " + reason(err), Fix: "name a file in a directory that you may write to", Err: err}
	}
	return &outFile{flag: flag, path: path, f: f}, nil
}

// discard closes a file that nothing was written to.
func (o *outFile) discard() {
	if o != nil {
		_ = o.f.Close() // empty; the error being reported counts
	}
}

// Write is the stream of events. Its first error is told at the end, and the
// rest of the stream dropped.
func (o *outFile) Write(b []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.f.Write(b)
	o.err = err
	return n, err
}

// eventWriter is nil without --events.
func (fs *files) eventWriter() io.Writer {
	if fs.events == nil {
		return nil
	}
	return fs.events
}

// writeReport puts a report in the file of --report, if there is one.
func (fs *files) writeReport(r *agentos.Report) {
	o := fs.report
	if o == nil {
		return
	}
	body, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		if info, serr := o.f.Stat(); serr == nil && info.Mode().IsRegular() {
			err = o.f.Truncate(0)
		}
	}
	if err == nil {
		_, err = o.f.Write(append(body, '\n'))
	}
	if err == nil {
		err = o.moved()
	}
	o.err = err
}

// moved says whether the file's name is still its own.
func (o *outFile) moved() error {
	mine, err := o.f.Stat()
	if err != nil {
		return err
	}
	if !mine.Mode().IsRegular() {
		return nil
	}
	named, err := os.Stat(o.path)
	if err != nil || !os.SameFile(mine, named) {
		return errors.New("the file was written, but the program had moved or replaced it meanwhile")
	}
	return nil
}

// close closes everything and returns what went wrong with any of it.
func (fs *files) close() []error {
	for _, o := range []*outFile{fs.report, fs.events} {
		if o == nil {
			continue
		}
		err := o.err
		if cerr := o.f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			fs.errs = append(fs.errs, &Failure{Status: statusRefused, Code: CodeOutput, Where: o.flag + " " + o.path, Problem: "not written as it should be: " + reason(err), Err: err})
		}
	}
	return fs.errs
}
