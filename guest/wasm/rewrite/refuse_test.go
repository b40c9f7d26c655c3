package rewrite

import (
	"errors"
	"strings"
	"testing"
)

// small is a valid module with one of everything that can be indexed.
func small(code ...any) *build {
	b := &build{memory: cat(1, 1, 2), count: true}
	b.imports = [][]byte{cat(hostModule, "f", int(KindFunc), u(b.typ("", "")))}
	b.tables = [][]byte{cat(typeFunc, 0, 4)}
	b.globals = [][]byte{cat(typeI32, 1, i32c(0), opEnd)}
	b.elems = [][]byte{cat(0, i32c(0), opEnd, 1, 1)}
	b.datas = [][]byte{cat(1, 1, 7), cat(0, i32c(0), opEnd, 1, 7)}
	b.fn("iii", "", "", get(0), get(1), get(2), opMemoryFill, 0, cat(code...))
	b.fn("", "ii", "", opCall, u(2)) // counts its depth, needs a type appended
	b.export("run", KindFunc, 1)
	return b
}

// TestReachesNothingAdded tries every index that the rewriter makes valid: one
// past what the original has.
func TestReachesNothingAdded(t *testing.T) {
	valid := validator(t)
	ok := small().bytes()
	if _, err := Rewrite(ok, Options{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		build func() *build
		want  string
	}{
		"call a synthesized function":  {func() *build { return small(opCall, u(3)) }, "function index"},
		"ref.func of one":              {func() *build { return small(opRefFunc, u(3), opDrop) }, "function index"},
		"budget get":                   {func() *build { return small(opGlobalGet, u(1), opDrop) }, "global index"},
		"budget set":                   {func() *build { return small(i64c(1), opGlobalSet, u(1)) }, "global index"},
		"scratch local":                {func() *build { return small(get(3), opDrop) }, "local index"},
		"scratch local set":            {func() *build { return small(i64c(1), set(3)) }, "local index"},
		"label past the wrapper":       {func() *build { return small(opBr, u(1)) }, "label"},
		"table of labels past it":      {func() *build { return small(i32c(0), opBrTable, 1, 0, 1) }, "label"},
		"appended type":                {func() *build { return small(i32c(0), opCallIndirect, u(3), 0) }, "type index"},
		"appended block type":          {func() *build { return small(opBlock, s(3), opEnd) }, "block type"},
		"appended data segment":        {func() *build { return small(opDataDrop, u(2)) }, "data segment"},
		"another table":                {func() *build { return small(i32c(0), opTableGet, u(1), opDrop) }, "table"},
		"export a synthesized one":     {with(func(b *build) { b.export("x", KindFunc, 3) }), "function index"},
		"export the budget":            {with(func(b *build) { b.export("x", KindGlobal, 1) }), "global index"},
		"start a synthesized one":      {with(func(b *build) { b.start = 4 }), "function index"},
		"element names one":            {with(func(b *build) { b.elems = append(b.elems, cat(1, 0, 1, 3)) }), "function index"},
		"element expression names one": {with(func(b *build) { b.elems = append(b.elems, cat(5, typeFunc, 1, opRefFunc, 3, opEnd)) }), "function index"},
		"global starts as one":         {with(func(b *build) { b.globals = append(b.globals, cat(typeFunc, 0, opRefFunc, 3, opEnd)) }), "function index"},
		"global starts as the budget":  {with(func(b *build) { b.globals = append(b.globals, cat(typeI64, 0, opGlobalGet, 1, opEnd)) }), "global index"},
		"function of appended type":    {with(func(b *build) { b.funcs[0].typ = 3 }), "type index"},
		"import the yield":             {with(func(b *build) { b.imports = append(b.imports, cat(ImportModule, ImportYield, 0, 0)) }), "reserved"},
		"export the budget's name":     {with(func(b *build) { b.export(ExportBudget, KindGlobal, 0) }), "reserved"},
		"export the start's name":      {with(func(b *build) { b.export(ExportStart, KindFunc, 1) }), "reserved"},
		"export a global's name":       {with(func(b *build) { b.export(ExportGlobalPrefix+"0", KindGlobal, 0) }), "reserved"},
	} {
		t.Run(name, func(t *testing.T) {
			wasm := c.build().bytes()
			refused(t, wasm, c.want)
			if c.want != "reserved" && valid(wasm) == nil {
				t.Error("the engine accepts the original: the case does not test what it says")
			}
		})
	}
	// ref.func of the start function, which only its export would make valid.
	b := &build{start: 2}
	b.fn("", "", "", opRefFunc, u(1), opDrop)
	b.fn("", "", "")
	refused(t, b.bytes(), "nothing declares")
}

func with(change func(*build)) func() *build {
	return func() *build {
		b := small()
		change(b)
		return b
	}
}

func refused(t *testing.T, wasm []byte, want string) {
	t.Helper()
	res, err := Rewrite(wasm, Options{StripStart: true})
	var e *Error
	if !errors.As(err, &e) || res != nil {
		t.Fatalf("not refused: %v", err)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("refused with %q, which does not say %q", err, want)
	}
	if e.Offset < 0 || e.Offset > len(wasm) {
		t.Errorf("offset %d of %d bytes", e.Offset, len(wasm))
	}
}

func section(id byte, content ...any) []byte {
	c := cat(content...)
	return cat(id, u(len(c)), c)
}

// TestMalformed refuses what is malformed or beyond a limit, with a reason.
func TestMalformed(t *testing.T) {
	head := []byte("\x00asm\x01\x00\x00\x00")
	types := section(secType, 1, 0x60, 0, 0)
	fn := section(secFunction, 1, 0)
	code := func(body ...any) []byte {
		c := cat(body...)
		return cat(head, types, fn, section(secCode, 1, u(len(c)), c))
	}
	mem := func(limits ...any) []byte { return cat(head, section(secMemory, 1, cat(limits...))) }
	for name, c := range map[string]struct {
		wasm []byte
		want string
	}{
		"empty":                      {nil, "not a WebAssembly module"},
		"an ELF":                     {[]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00"), "not a WebAssembly module"},
		"a component":                {[]byte("\x00asm\x0d\x00\x01\x00"), "version"},
		"truncated section":          {cat(head, secType, 9, 1), "the module ends"},
		"section too long":           {cat(head, section(secType, 0, 0)), "too many"},
		"unknown section":            {cat(head, section(13)), "unknown section"},
		"section twice":              {cat(head, types, types), "twice"},
		"sections out of order":      {cat(head, fn, types), "unknown type"},
		"code before data count":     {cat(head, section(secCode, 0), section(secDataCount, 0)), "out of order"},
		"data count wrong":           {cat(head, section(secDataCount, 1)), "data count"},
		"no body":                    {cat(head, types, fn), "bodies"},
		"overlong integer":           {cat(head, section(secType, 0x80, 0x80, 0x80, 0x80, 0x80, 0)), "too long"},
		"integer of 33 bits":         {cat(head, section(secType, 0xff, 0xff, 0xff, 0xff, 0x1f)), "32 bits"},
		"signed of 33 bits":          {code(0, opI32Const, 0xff, 0xff, 0xff, 0xff, 0x0f, opDrop, opEnd), "32 bits"},
		"signed too long":            {code(0, opI32Const, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, opDrop, opEnd), "too long"},
		"i64 too wide":               {code(0, opI64Const, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02, opDrop, opEnd), "64 bits"},
		"count beyond the file":      {cat(head, section(secImport, u(9000), 0, 0, 0, 0)), "do not fit"},
		"many types":                 {cat(head, section(secType, u(1<<30))), "at most"},
		"bad UTF-8":                  {cat(head, section(secCustom, 1, 0xff)), "UTF-8"},
		"bad UTF-8 in an export":     {cat(head, section(secExport, 1, 1, 0xff, 0, 0)), "UTF-8"},
		"exported twice":             {cat(mem(0, 1), section(secExport, 2, "m", 2, 0, "m", 2, 0)), "twice"},
		"two memories":               {cat(head, section(secMemory, 2, 0, 1, 0, 1)), "more than one memory"},
		"imported memory":            {cat(head, section(secImport, 1, "m", "m", 2, 0, 1)), "memories cannot"},
		"imported table":             {cat(head, section(secImport, 1, "m", "t", 1, typeFunc, 0, 1)), "tables cannot"},
		"shared memory":              {mem(3, 1, 1), "limits"},
		"memory64":                   {mem(4, 1), "limits"},
		"memory of 4 GiB":            {mem(0, u(65_536)), "at most 65535"},
		"memory of more":             {mem(0, u(65_537)), "65,536"},
		"memory maximum below":       {mem(1, 2, 1), "below"},
		"large table":                {cat(head, section(secTable, 1, typeFunc, 0, u(1<<18+1))), "at most"},
		"large tables":               {cat(head, section(secTable, 3, cat(typeFunc, 0, u(100_000)), cat(typeFunc, 0, u(100_000)), cat(typeFunc, 0, u(100_000)))), "at most"},
		"many tables":                {cat(head, section(secTable, u(65), make([]byte, 300))), "at most"},
		"locals":                     {code(1, u(50_001), typeI32, opEnd), "locals"},
		"locals in groups":           {code(2, u(1<<31), typeI32, u(1<<31), typeI32, opEnd), "locals"},
		"unknown local type":         {code(1, 1, 0x40, opEnd), "value type"},
		"else without if":            {code(0, opElse, opEnd), "else without if"},
		"unclosed block":             {code(0, opBlock, typeEmpty, opEnd), "inside a block"},
		"code after the end":         {code(0, opEnd, opNop), "after its end"},
		"operand underflow":          {code(0, opDrop, opEnd), "too few operands"},
		"operand of the outer block": {code(0, i32c(1), opBlock, typeEmpty, opDrop, opEnd, opDrop, opEnd), "too few operands"},
		"deep nesting":               {code(0, repeat(cat(opBlock, typeEmpty), maxNesting+1), opEnd), "deeper"},
		"unknown instruction":        {code(0, 0x06, opEnd), "unknown instruction 0x06"},
		"tail call":                  {code(0, 0x12, 0, opEnd), "unknown instruction 0x12"},
		"atomic":                     {code(0, 0xfe, 0x03, 0, opEnd), "unknown instruction 0xfe"},
		"relaxed SIMD":               {code(0, 0xfd, 0x80, 0x02, opEnd), "unknown instruction"},
		"overlong SIMD":              {code(0, 0xfd, 0x8c, 0x00, make([]byte, 16), opDrop, opEnd), "unknown instruction"},
		"memory missing":             {code(0, opMemorySize, 0, opDrop, opEnd), "needs a memory"},
		"data count missing":         {code(0, opDataDrop, 0, opEnd), "data count"},
		"branch targets":             {code(0, i32c(0), opBrTable, u(1<<20), opEnd), "at most"},
		"start with parameters":      {cat(head, section(secType, 1, 0x60, 1, typeI32, 0), fn, section(secStart, 0)), "start function"},
		"parameters":                 {cat(head, section(secType, 1, 0x60, u(1001), make([]byte, 1001))), "at most"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, c.wasm, c.want) })
	}
}

func repeat(b []byte, n int) []byte {
	out := make([]byte, 0, len(b)*n)
	for range n {
		out = append(out, b...)
	}
	return out
}

// TestTruncated cuts a module everywhere: a prefix is refused unless it ends
// before the functions are declared, where it is a module of its own.
func TestTruncated(t *testing.T) {
	wasm := generateWith(3, 200)
	valid := validator(t)
	for n := range wasm {
		if n > 4000 && n%97 != 0 {
			continue
		}
		if _, err := Rewrite(wasm[:n], Options{}); err == nil && (n > 100 || valid(wasm[:n]) != nil) {
			t.Errorf("a prefix of %d bytes is accepted", n)
		}
	}
}

// TestCompileBombs refuses small modules that the engine was seen to take from
// ten seconds to minutes, or gigabytes, to compile.
func TestCompileBombs(t *testing.T) {
	const n = 12_000
	bombs := map[string][]byte{}
	ints := func(l int) string { return strings.Repeat("i", l) }
	function := func(name string, params, results, locals string, code ...any) {
		b := &build{}
		b.fn(params, results, locals, code...)
		bombs[name] = b.bytes()
	}
	var c []byte
	for i := range n {
		c = append(c, cat(get(i%1200), opIf, typeEmpty, i32c(1), set(i*7%1200), opEnd)...)
	}
	function("joins of many locals", "", "", ints(1200), c)
	c = nil
	for i := range n {
		c = append(c, cat(opLoop, typeEmpty, get(i%1200), opLocalTee, u(i*7%1200), opBrIf, 0, opEnd)...)
	}
	function("loops over many locals", "", "", ints(1200), c)
	c = nil
	for i := range n {
		c = append(c, cat(get(i%200), opIf, typeEmpty, i32c(1), set(i*7%200))...)
	}
	for i := range n {
		c = append(c, cat(opElse, i32c(2), set(i*3%200), opEnd)...)
	}
	function("nested joins", "", "", ints(200), c)
	c = nil
	for i := range 1000 {
		c = append(c, cat(get(i))...)
	}
	function("calls with many values", ints(1000), ints(1000), "", c, repeat(cat(opCall, 0), n))

	body := cat(u(1), u(50_000), typeI32, opEnd)
	var bodies, types []byte
	for range 100 {
		bodies, types = cat(bodies, u(len(body)), body), cat(types, 0)
	}
	bombs["locals never used"] = cat([]byte("\x00asm\x01\x00\x00\x00"), section(secType, 1, 0x60, 0, 0),
		section(secFunction, u(100), types), section(secCode, u(100), bodies))

	for name, wasm := range bombs {
		_, err := Rewrite(wasm, Options{})
		var e *Error
		if !errors.As(err, &e) || !e.Limit {
			t.Errorf("%s, %d bytes: %v", name, len(wasm), err)
		}
	}
}
