//go:build linux && !hostfs_portable

package hostfs

import (
	"testing"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// FuzzRecords feeds the decoder of directory records what no sane host sends.
func FuzzRecords(f *testing.F) {
	rec := []byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 24, 0, 8, 'a', 0, 0, 0, 0}
	f.Add(rec, 1)
	f.Add(append(append([]byte{}, rec...), rec...), 10)
	f.Add(rec[:20], 3)
	f.Add([]byte{16: 0xff, 17: 0xff, 30: 1}, 1)
	fs, err := Open(f.TempDir(), Options{})
	check(f, err)
	f.Cleanup(func() { check(f, fs.Close()) })
	f.Fuzz(func(t *testing.T, data []byte, maxEnts int) {
		if maxEnts < 1 || maxEnts > 1000 {
			maxEnts = 5
		}
		h := &handle{fs: fs, dir: &listing{rest: data}}
		for len(h.dir.rest) > 0 {
			before := len(h.dir.rest)
			out := h.take(-1, nil, maxEnts)
			if len(out) > maxEnts {
				t.Fatalf("%d entries, asked for %d", len(out), maxEnts)
			}
			if len(h.dir.rest) >= before {
				t.Fatal("no progress")
			}
			for _, ent := range out {
				if checkName(ent.Name) != abi.OK || ent.Type == abi.TypeUnknown {
					t.Fatalf("let through: %+v", ent)
				}
			}
		}
	})
}

// FuzzMountinfo feeds the parser of mountinfo.
func FuzzMountinfo(f *testing.F) {
	f.Add("22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n", uint64(22))
	f.Add("22 1 254:0 /\\040\\ /\\1 rw\n\n 22", uint64(22))
	f.Fuzz(func(t *testing.T, text string, id uint64) {
		if m, ok := findMount(text, id); ok && (m.dev == "" || m.root == "" || m.point == "") {
			t.Fatalf("an empty field: %+v", m)
		}
	})
}
