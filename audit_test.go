package agentos_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos"
	"github.com/agentos-kernel/agentos/observe/audit"
)

// TestAudit has a program be refused the same thing many times and many things once, and
// reads its log.
func TestAudit(t *testing.T) {
	k := open(t, nil)
	dir := t.TempDir()
	args := []string{"meddle"}
	for range 25 {
		args = append(args, "/d/same")
	}
	for i := range 30 {
		args = append(args, fmt.Sprintf("/d/other%d", i))
	}
	o := guest(t, k, agentos.Spec{Grants: []agentos.Grant{{Host: dir, Guest: "/d"}}}, args...)
	a := o.Audit
	if a == nil || a.Problem != "" || a.File == "" {
		t.Fatalf("%+v", a)
	}
	head, err := audit.ParseHead(a.Head)
	if err != nil || head.Records != a.Records {
		t.Fatalf("%+v, %v", a, err)
	}
	text, err := os.ReadFile(a.File)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	var kinds []string
	r, err := audit.Verify(strings.NewReader(string(text)), o.Run, &head, func(r *audit.Record) {
		kinds = append(kinds, r.Kind)
		if r.Kind != audit.KindDenial {
			return
		}
		var d agentos.Denial
		if err := json.Unmarshal(r.Body, &d); err != nil {
			t.Error(err)
		}
		counts[d.Requested] = d.Count
	})
	if err != nil || !r.Intact() || r.Torn != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if kinds[0] != audit.KindStart || kinds[len(kinds)-1] != audit.KindEnd {
		t.Errorf("%v", kinds)
	}
	if counts["/d/same"] != 25 || len(counts) != 31 {
		t.Errorf("counted: %v", counts)
	}
	// 31 kinds once, the tenth and the last of the one that was repeated, start, and end.
	if a.Records != 31+2+2 {
		t.Errorf("%d records", a.Records)
	}
}
