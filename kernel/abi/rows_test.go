package abi

import (
	"regexp"
	"strings"
	"testing"
)

var rowName = regexp.MustCompile(`^[a-z][a-z_]*$`)

func TestRows(t *testing.T) {
	table := Rows()
	if len(table) != int(NumSys) {
		t.Fatalf("%d rows for %d operations", len(table), NumSys)
	}
	seen := make(map[string]Sysno)
	for i, r := range table {
		nr := Sysno(i)
		if r.Nr != nr {
			t.Errorf("row %d (%q) says it is number %d", i, r.Name, r.Nr)
		}
		if !rowName.MatchString(r.Name) {
			t.Errorf("row %d is named %q", i, r.Name)
		}
		if other, dup := seen[r.Name]; dup {
			t.Errorf("rows %d and %d are both named %q", other, i, r.Name)
		}
		seen[r.Name] = nr
		if r.Category >= NumCategories || r.Capability >= NumCapabilities || r.Action >= NumActions || r.Touches >= NumObjects {
			t.Errorf("%s: a value outside its enumeration: %+v", r.Name, r)
		}
		if len(r.Doc) < 10 || !strings.HasSuffix(r.Doc, ".") || strings.ToUpper(r.Doc[:1]) != r.Doc[:1] || strings.Count(r.Doc, ". ") > 0 {
			t.Errorf("%s: the doc is not one sentence: %q", r.Name, r.Doc)
		}
		if nr.String() != r.Name || nr.Row().Name != r.Name {
			t.Errorf("%s: String %q, Row %q", r.Name, nr.String(), nr.Row().Name)
		}
		if got, ok := ParseSysno(r.Name); !ok || got != nr {
			t.Errorf("%q parses as %d, %v", r.Name, got, ok)
		}
	}
	for _, bad := range []string{"", "?", "Open", "path_open"} {
		if got, ok := ParseSysno(bad); ok {
			t.Errorf("%q parses as %d", bad, got)
		}
	}
	if NumSys.String() != "?" {
		t.Errorf("past the end: %q", NumSys.String())
	}
}

// TestRowsDenyByDefault holds what a row means for safety: whatever names a path
// needs a file capability and has a verb, whatever changes a path needs the
// capability to write, and a capability never stands without a verb.
func TestRowsDenyByDefault(t *testing.T) {
	for _, r := range Rows() {
		path := r.Touches == ObjPath || r.Touches == ObjTwoPaths
		file := r.Capability == CapFileRead || r.Capability == CapFileWrite
		if path != file {
			t.Errorf("%s: touches %s with capability %s", r.Name, r.Touches, r.Capability)
		}
		if path && !r.Waits {
			t.Errorf("%s: resolves a path, which may wait for the host, and is not marked so", r.Name)
		}
		switch r.Action {
		case ActWrite, ActCreate, ActDelete:
			if r.Capability != CapFileWrite {
				t.Errorf("%s: action %s with capability %s", r.Name, r.Action, r.Capability)
			}
		case ActNone:
			if r.Capability != CapNone {
				t.Errorf("%s: needs %s and no policy sees it", r.Name, r.Capability)
			}
		}
		if r.Capability == CapFileWrite && r.Action == ActRead {
			t.Errorf("%s: a write that a policy sees as a read", r.Name)
		}
	}
}

// TestRowsIsACopy: no caller can change the table.
func TestRowsIsACopy(t *testing.T) {
	Rows()[SysOpen].Capability = CapNone
	if SysOpen.Row().Capability != CapFileRead {
		t.Fatal("a caller of Rows changed the table")
	}
}
