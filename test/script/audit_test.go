package script

import (
	"bytes"
	"encoding/json"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// report is what the scripts of the audit log need of a run's report.
type report struct {
	Audit struct{ Head, File string }
}

func readReport(ts *testscript.TestScript, file string) (r report) {
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(file)), &r))
	return r
}

// keepHead sets HEAD to the head of the audit log that a report has: keephead REPORT.
func keepHead(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keephead report")
	}
	ts.Setenv("HEAD", readReport(ts, args[0]).Audit.Head)
}

// tamper changes a run's audit log, whatever was done to it before: tamper REPORT edit
// changes its second record, and cut takes the last away.
func tamper(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tamper report edit|cut")
	}
	file := readReport(ts, args[0]).Audit.File
	b, err := os.ReadFile(file)
	ts.Check(err)
	kept, err := os.ReadFile(file + ".kept")
	if err == nil {
		b = kept
	}
	ts.Check(os.WriteFile(file+".kept", b, 0o600))
	lines := bytes.SplitAfter(b, []byte("\n"))
	switch args[1] {
	case "edit":
		lines[1] = bytes.Replace(lines[1], []byte("/data"), []byte("/home"), 1)
	case "cut":
		lines = lines[:len(lines)-2] // after the last newline there is nothing
	default:
		ts.Fatalf("tamper cannot %s", args[1])
	}
	ts.Check(os.WriteFile(file, bytes.Join(lines, nil), 0o600))
}
