package wasm

import (
	"errors"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/wasm/rewrite"
)

// facts are what the kernel needs to know of a module without reading it again.
// The compiling child writes them beside the native code.
type facts struct {
	HasMemory bool     `json:"has_memory"`
	MinPages  uint32   `json:"min_pages"`
	MaxPages  uint32   `json:"max_pages"`
	Tables    uint64   `json:"table_entries"` // the most that all tables can grow to
	HasStart  bool     `json:"has_start"`     // a start function to run first, under metering
	Imports   []string `json:"imports"`       // functions of WASI preview 1, and ours with their module
}

// importFact is an import in words.
type importFact struct{ Module, Name, Kind, Type string }

// prepare checks and rewrites a module. Errors are *guest.LoadError.
func prepare(image []byte, l Limits) ([]byte, *facts, error) {
	r, err := rewrite.Rewrite(image, rewrite.Options{
		MaxMemoryPages:  l.MaxPages,
		MaxTableEntries: l.MaxTable,
		StripStart:      true,
	})
	if err != nil {
		le := &guest.LoadError{Kind: guest.NotRunnable, Reason: "malformed or unsupported WebAssembly", Err: err}
		var re *rewrite.Error
		if errors.As(err, &re) && re.Limit {
			le.Kind = guest.TooCostly
			le.Reason = "WebAssembly beyond what is accepted"
		}
		return nil, nil, le
	}
	imports := make([]importFact, 0, len(r.Imports))
	f := &facts{
		HasMemory: r.HasMemory, MinPages: r.MemoryMin, MaxPages: r.MemoryMax,
		Tables: r.TableEntriesMax, HasStart: r.HasStart, Imports: []string{},
	}
	seen := make(map[string]bool)
	for _, i := range r.Imports {
		imports = append(imports, importFact{Module: i.Module, Name: i.Name, Kind: i.Kind.String(), Type: typeText(i.Kind, i.Type)})
		if key := importKey(i.Module, i.Name); !seen[key] {
			seen[key] = true
			f.Imports = append(f.Imports, key)
		}
	}
	if err := checkImports(imports); err != nil {
		return nil, nil, err
	}
	exports := make(map[string]string)
	for _, e := range r.Exports {
		exports[e.Name] = typeText(e.Kind, e.Type)
	}
	if err := checkEntry(exports); err != nil {
		return nil, nil, err
	}
	return r.Module, f, nil
}

// typeText prints the type of a function; other kinds are their own.
func typeText(k rewrite.Kind, t rewrite.FuncType) string {
	if k != rewrite.KindFunc {
		return k.String()
	}
	return "(" + valueTypes(t.Params) + ")->(" + valueTypes(t.Results) + ")"
}

func valueTypes(ts []byte) string {
	names := make([]string, len(ts))
	for i, t := range ts {
		switch t {
		case 0x7f:
			names[i] = "i32"
		case 0x7e:
			names[i] = "i64"
		case 0x7d:
			names[i] = "f32"
		case 0x7c:
			names[i] = "f64"
		case 0x7b:
			names[i] = "v128"
		case 0x70:
			names[i] = "funcref"
		case 0x6f:
			names[i] = "externref"
		default:
			names[i] = "?"
		}
	}
	return strings.Join(names, ",")
}
