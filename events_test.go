package agentos_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

// TestEventsOfARun has a guest do something of each kind and looks for the
// events: of every operation that it performed, of its states, of a denial, of a
// limit, of its end.
func TestEventsOfARun(t *testing.T) {
	k := open(t, nil)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	seen := map[string]int{}
	total := 0
	for _, args := range [][]string{
		{"everything", "/tmp", dir}, {"cat", "/etc/passwd"}, {"write", dir + "/.mcp.json", "x"}, {"forget", "/tmp"}, {"env"}, {"walk", dir},
	} {
		lines.Reset()
		o := guest(t, k, agentos.Spec{
			Events: &lines, Limits: agentos.Limits{Files: 40},
			Grants: []agentos.Grant{{Kind: agentos.GrantWrite, Host: dir}},
		}, args...)
		seq := 0
		for line := range bytes.Lines(lines.Bytes()) {
			var e struct {
				Version               int
				Seq                   int
				Run, Kind, ID, Chain  string
				PID                   abi.PID
				Category, Via, Parent string
				Weight                int
				Time                  string
				Attrs                 map[string]any
			}
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if seq++; e.Version != 1 || e.Run != o.Run || e.PID != o.PID || e.Chain != o.Chain || e.ID == "" || e.Seq != seq || e.Weight != 1 {
				t.Errorf("a line that does not belong here: %s", line)
			}
			if _, ok := abi.ParseCategory(e.Category); !ok {
				t.Errorf("category: %s", line)
			}
			seen[e.Kind]++
		}
		if seq != int(o.Usage.Events) || o.Usage.EventsDropped != 0 {
			t.Errorf("%v: %d lines, the report says %d and %d dropped", args, seq, o.Usage.Events, o.Usage.EventsDropped)
		}
		total += seq
	}
	for _, kind := range []string{
		"spawn", "state", "end", "cleanup", "denial", "hidden", "limit_refused", "memory_grow", "slice", "block",
		"args", "environ", "clock_time", "random", "exit", "poll", "open", "close", "read", "write", "fdinfo", "fcntl", "fstat",
		"stat", "readdir", "mkdir", "unlink", "rename", "link", "symlink", "readlink", "truncate", "utimes",
	} {
		if seen[kind] == 0 {
			t.Errorf("no event of kind %s among %d", kind, total)
		}
	}
}
