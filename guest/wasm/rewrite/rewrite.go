package rewrite

// Version changes whenever the output for some input changes. Fold it into the
// key of any cache of what is made from the output.
const Version = "4"

// Options changes the defaults. The zero value is useful.
type Options struct {
	// MaxMemoryPages caps the memory, in pages of 64 KiB. 0 means 65,535, which
	// is also the most. A module whose memory begins larger is refused; one that
	// wants to grow further is told no when it tries.
	MaxMemoryPages uint32
	// MaxTableEntries caps each table, and all tables together at the beginning.
	// 0 means 1<<18.
	MaxTableEntries uint32
	// MaxDataBytes caps what all data segments hold. 0 means 256 MiB.
	MaxDataBytes uint64
	// AllowMemoryImport accepts a module that imports its memory.
	AllowMemoryImport bool
	// ExportGlobals exports every mutable global the module defines, see
	// ExportGlobalPrefix.
	ExportGlobals bool
	// StripStart exports the start function as ExportStart instead of having the
	// engine run it while it instantiates.
	StripStart bool
}

// Kind is the kind of an import or export.
type Kind byte

// The kinds.
const (
	KindFunc Kind = iota
	KindTable
	KindMemory
	KindGlobal
)

func (k Kind) String() string {
	switch k {
	case KindFunc:
		return "function"
	case KindTable:
		return "table"
	case KindMemory:
		return "memory"
	case KindGlobal:
		return "global"
	}
	return "unknown"
}

// FuncType is the type of a function. Value types are as the binary format
// encodes them (0x7f is i32), the numbering that the engine's API shares.
type FuncType struct {
	Params, Results []byte
}

// Import is something the original module imports.
type Import struct {
	Module, Name string
	Kind         Kind
	Type         FuncType // KindFunc
	Global       byte     // KindGlobal: its value type
	Mutable      bool     // KindGlobal
}

// Export is something the original module exports.
type Export struct {
	Name    string
	Kind    Kind
	Type    FuncType // KindFunc
	Global  byte     // KindGlobal: its value type
	Mutable bool     // KindGlobal

	index uint32
}

// Global is a mutable global that Options.ExportGlobals exported.
type Global struct {
	Name string // under which it is exported
	Type byte   // value type
}

// Result is a rewritten module and what its loader wants to know of it. Slices
// alias the original module.
type Result struct {
	Module []byte

	Imports []Import // of the original; the output imports ImportModule.ImportYield besides
	Exports []Export // of the original; reserved names are not among them
	Globals []Global // with Options.ExportGlobals

	HasMemory      bool
	MemoryImported bool
	MemoryExport   string // the first name under which the memory is exported, "" if none
	MemoryMin      uint32 // pages
	MemoryMax      uint32 // pages, clamped

	TableEntries    uint64 // of all tables at the beginning
	TableEntriesMax uint64 // of all tables, clamped
	DataBytes       uint64 // of all data segments, before merging
	DataSegments    int    // after merging
	HasStart        bool   // StripStart exported it, or the engine will run it

	Functions int // defined by the original
	Metered   int // of those, charged at their entry
	Counted   int // of those, counting their depth
	MaxFrame  int // the largest estimate of a stack frame, bytes

	// CompileCost estimates the engine's work to compile the module, in units
	// of about one value placed once.
	CompileCost uint64
}

// Rewrite returns the module rewritten. The error is an *[Error]. The original
// is not changed and must not be changed while the result is in use.
func Rewrite(original []byte, opts Options) (*Result, error) {
	if opts.MaxMemoryPages == 0 || opts.MaxMemoryPages > defaultMemoryPages {
		opts.MaxMemoryPages = defaultMemoryPages
	}
	if opts.MaxTableEntries == 0 {
		opts.MaxTableEntries = defaultTableEntries
	}
	if opts.MaxDataBytes == 0 {
		opts.MaxDataBytes = defaultDataBytes
	}
	m, err := decode(original, opts)
	if err != nil {
		return nil, err
	}
	a, err := analyze(m)
	if err != nil {
		return nil, err
	}
	e := &emitter{m: m, a: a}
	e.module()
	return e.result(), nil
}
