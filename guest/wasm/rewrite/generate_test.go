package rewrite

import "math/rand/v2"

// generate makes a valid module that ends, from a seed. Its export "run" takes
// two i32 and an i64 and returns several results; "state" returns a digest of
// the tables. Every loop and call takes from a global gas, so the work is
// bounded whatever the control flow. Floating-point values never reach memory
// or results as bits, because the sign and payload of a NaN are not specified.
func generate(seed uint64) []byte { return generateWith(seed, 70_000) }

// generateWith sets the size of the large data segment.
func generateWith(seed uint64, segment int) []byte {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0x5eed)), segment: segment}
	return g.module()
}

const (
	genGlobals = 3 // exported as g0, g1, g2; g2 is the gas
	genGas     = 2
	genPages   = 4

	genLoop = "loop" // in place of a label's types
)

type generator struct {
	rng     *rand.Rand
	b       build
	sigs    []int // type of each function
	typs    []genType
	segment int

	// The function being made.
	vars   string // types of its locals, parameters first
	labels []string
	result string
	self   int
	depth  int
	budget int
	loops  int // local that counts iterations, per open loop
	code   []byte
}

type genType struct {
	index           int
	params, results string
}

func (g *generator) n(n int) int       { return g.rng.IntN(n) }
func (g *generator) chance(n int) bool { return g.n(n) == 0 }
func (g *generator) emit(parts ...any) { g.code = append(g.code, cat(parts...)...) }
func (g *generator) letters(k int) string {
	s := ""
	for range k {
		s += string("iIfFiIv"[g.n(7)])
	}
	return s
}

const (
	genTable0 = 30   // entries of the table of functions
	genTable1 = 9000 // entries of another, for large steps
)

func (g *generator) module() []byte {
	b := &g.b
	for range 2 + g.n(4) {
		// The first parameter is what recursion counts down.
		t := genType{params: "i" + g.letters(g.n(4)), results: g.letters(g.n(4))}
		t.index = b.typ(t.params, t.results)
		g.typs = append(g.typs, t)
	}
	run := genType{params: "iiI", results: "iI" + []string{"", "i", "Ii"}[g.n(3)]}
	run.index = b.typ(run.params, run.results)
	g.typs = append(g.typs, run)

	count := 2 + g.n(5)
	for i := range count {
		t := g.n(len(g.typs))
		if i == count-1 {
			t = len(g.typs) - 1
		}
		g.sigs = append(g.sigs, t)
	}
	b.memory = cat(1, u(genPages), u(genPages+3))
	b.tables = [][]byte{
		cat(typeFunc, 1, u(genTable0), u(genTable0+10)),
		cat(typeFunc, 0, u(genTable1)),
	}
	b.globals = [][]byte{
		cat(typeI32, 1, i32c(g.rng.Int64()), opEnd),
		cat(typeI64, 1, i64c(g.rng.Int64()), opEnd),
		cat(typeI32, 1, i32c(int64(200+g.n(2000))), opEnd),
	}
	for i := range genGlobals {
		b.export("g"+string(rune('0'+i)), KindGlobal, i)
	}
	b.export("memory", KindMemory, 0)
	// One active segment of functions, one passive, one of expressions.
	var refs []byte
	for range 20 {
		refs = cat(refs, u(g.n(count)))
	}
	b.elems = [][]byte{
		cat(0, i32c(int64(g.n(5))), opEnd, u(20), refs),
		cat(1, 0, u(20), refs),
		cat(5, typeFunc, u(3), opRefFunc, u(g.n(count)), opEnd, opRefNull, typeFunc, opEnd, opRefFunc, u(0), opEnd),
	}
	b.count = true
	at := 0
	for range g.n(12) {
		at += []int{0, 3, 40, 70, 500}[g.n(5)]
		if g.chance(8) {
			at = g.n(2000)
		}
		size := g.n(20)
		b.datas = append(b.datas, cat(0, i32c(int64(at)), opEnd, u(size), g.random(size)))
		at += size
		if g.chance(6) {
			b.datas = append(b.datas, cat(1, u(3), "abc"[:3]))
			b.datas[len(b.datas)-1] = cat(1, u(3), g.random(3))
		}
	}
	b.datas = append(b.datas, cat(1, u(g.segment), g.random(g.segment)), cat(1, u(100), g.random(100)))
	for i := range count {
		g.function(i)
	}
	b.export("run", KindFunc, count-1)
	b.export("state", KindFunc, b.fn("", "iii", "iii", stateCode()))
	return b.bytes()
}

// stateCode digests which entries of both tables are null, and their sizes.
func stateCode() []byte {
	var c []byte
	for t := range 2 {
		c = cat(c, i32c(0), set(t), opBlock, typeEmpty, opLoop, typeEmpty,
			get(t), opTableSize, u(t), 0x4f /* i32.ge_u */, opBrIf, u(1),
			get(2), i32c(31), 0x6c, get(t), opTableGet, u(t), opRefIsNull, opI32Add, set(2),
			get(t), i32c(1), opI32Add, set(t), opBr, u(0), opEnd, opEnd)
	}
	return cat(c, get(0), get(1), get(2))
}

func (g *generator) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.rng.Uint32())
	}
	return b
}

func (g *generator) function(i int) {
	t := g.typs[g.sigs[i]]
	locals := g.letters(g.n(5)) + "iii"
	g.vars, g.result, g.self = t.params+locals, t.results, i
	g.labels = []string{t.results}
	g.depth, g.budget, g.loops, g.code = 0, 40+g.n(60), 0, nil
	// Out of gas or of depth: return something at once.
	g.emit(opGlobalGet, u(genGas), i32c(1), opI32Sub, opGlobalSet, u(genGas))
	g.emit(opGlobalGet, u(genGas), i32c(0), 0x48 /* i32.lt_s */, get(0), i32c(0), 0x4c /* i32.le_s */, opI32Or)
	g.emit(opIf, typeEmpty)
	g.zeros(t.results)
	g.emit(opReturn, opEnd)
	g.statements(3 + g.n(6))
	for _, c := range t.results {
		g.expr(c, 3)
	}
	g.b.funcs = append(g.b.funcs, buildFunc{t.index, valueTypes(locals), g.code})
}

func (g *generator) zeros(types string) {
	for _, c := range types {
		g.constant(c, 0)
	}
}

func (g *generator) constant(t rune, v int64) {
	switch t {
	case 'i':
		g.emit(i32c(v))
	case 'I':
		g.emit(i64c(v))
	case 'f':
		g.emit(opF32Const, 0, 0, byte(v), 0x40)
	case 'F':
		g.emit(opF64Const, 0, 0, 0, 0, 0, 0, byte(v), 0x40)
	case 'v':
		g.emit(opV128Const, byte(v), make([]byte, 14), 3)
	}
}

// local returns a local of a type, or -1.
func (g *generator) local(t rune) int {
	var of []int
	for i, c := range g.vars {
		if c == t && i > 0 { // not the depth
			of = append(of, i)
		}
	}
	if len(of) == 0 {
		return -1
	}
	return of[g.n(len(of))]
}

// expr emits code that leaves one value of a type.
func (g *generator) expr(t rune, depth int) {
	g.budget--
	if depth <= 0 || g.budget < 0 {
		if l := g.local(t); l >= 0 && g.chance(2) {
			g.emit(get(l))
		} else {
			g.constant(t, int64(int8(g.rng.Uint32())))
		}
		return
	}
	sub := func(types string) {
		for _, c := range types {
			g.expr(c, depth-1)
		}
	}
	switch g.n(10) {
	case 0: // if with a result
		sub("i")
		g.emit(opIf, valueTypes(string(t))[0])
		g.labels = append(g.labels, string(t))
		g.expr(t, depth-1)
		g.emit(opElse)
		g.expr(t, depth-1)
		g.emit(opEnd)
		g.labels = g.labels[:len(g.labels)-1]
		return
	case 1:
		sub(string(t) + string(t) + "i")
		if t == 'v' || g.chance(2) {
			g.emit(opSelectT, 1, valueTypes(string(t))[0])
		} else {
			g.emit(opSelect)
		}
		return
	case 2:
		sub(string(t))
		if l := g.local(t); l >= 0 {
			g.emit(opLocalTee, u(l))
		}
		return
	}
	bin := func(ops ...int) {
		sub(string(t) + string(t))
		g.emit(ops[g.n(len(ops))])
	}
	switch t {
	case 'i':
		switch g.n(9) {
		case 0:
			sub("I")
			g.emit(0xa7)
		case 1:
			sub("ff")
			g.emit(0x5b + g.n(6))
		case 2:
			sub("F")
			g.emit(miscBase + 2 + g.n(2)) // saturating: a NaN is 0
		case 3:
			g.address(depth)
			g.emit(0x28, u(g.n(3)), u(g.n(100)))
		case 4:
			g.emit([][]byte{cat(opMemorySize, 0), cat(opTableSize, u(0)), cat(opGlobalGet, u(0))}[g.n(3)])
		case 5:
			sub("v")
			g.emit([][]byte{cat(simdBase+27, byte(g.n(4))), cat(simdBase + 100), cat(simdBase + 163)}[g.n(3)])
		case 6:
			sub("ii")
			g.divisor('i')
			g.emit(0x6d + g.n(4))
		default:
			bin(0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73, 0x74, 0x76, 0x78, 0x46, 0x48, 0x4b)
		}
	case 'I':
		switch g.n(5) {
		case 0:
			sub("i")
			g.emit(0xac + g.n(2))
		case 1:
			g.address(depth)
			g.emit(0x29, u(g.n(4)), u(g.n(100)))
		case 2:
			g.emit(opGlobalGet, u(1))
		case 3:
			sub("II")
			g.divisor('I')
			g.emit(0x7f + g.n(4))
		default:
			bin(0x7c, 0x7d, 0x7e, 0x83, 0x84, 0x85, 0x86, 0x88)
		}
	case 'f':
		if g.chance(3) {
			sub("i")
			g.emit(0xb2 + g.n(2))
		} else {
			bin(0x92, 0x93, 0x94, 0x96)
		}
	case 'F':
		if g.chance(3) {
			sub("I")
			g.emit(0xb9 + g.n(2))
		} else {
			bin(0xa0, 0xa1, 0xa2, 0xa5)
		}
	case 'v':
		switch g.n(3) {
		case 0:
			sub("i")
			g.emit(simdBase + 17)
		case 1:
			g.address(depth)
			g.emit(simdBase+0, u(g.n(5)), u(g.n(100)))
		default:
			bin(simdBase+174, simdBase+181, simdBase+78, simdBase+81, simdBase+110, simdBase+214)
		}
	}
}

// divisor makes the divisor on the stack odd, mostly.
func (g *generator) divisor(t rune) {
	if g.chance(30) {
		return
	}
	if t == 'i' {
		g.emit(i32c(0xff), 0x71, i32c(1), opI32Or)
	} else {
		g.emit(i64c(0xff), 0x83, i64c(1), 0x84)
	}
}

// address leaves an address that is in bounds, mostly.
func (g *generator) address(depth int) {
	g.expr('i', depth-1)
	if !g.chance(60) {
		g.emit(i32c(0x1ffff), 0x71)
	}
}

func (g *generator) statements(n int) {
	for range n {
		g.statement()
	}
}

func (g *generator) statement() {
	g.budget -= 2
	if g.budget < 0 {
		g.emit(opNop)
		return
	}
	g.depth++
	defer func() { g.depth-- }()
	nested := func(n int) {
		if g.depth < 6 {
			g.statements(n)
		}
	}
	switch g.n(17) {
	case 0:
		g.emit(opBlock, typeEmpty)
		g.labels = append(g.labels, "")
		nested(1 + g.n(3))
		g.emit(opEnd)
		g.labels = g.labels[:len(g.labels)-1]
	case 1, 2:
		g.loop(nested)
	case 3:
		g.expr('i', 2)
		g.emit(opIf, typeEmpty)
		g.labels = append(g.labels, "")
		nested(1 + g.n(2))
		if g.chance(2) {
			g.emit(opElse)
			nested(1)
		}
		g.emit(opEnd)
		g.labels = g.labels[:len(g.labels)-1]
	case 4:
		g.branch()
	case 5:
		g.switches(nested)
	case 6, 7:
		g.call()
	case 8:
		g.expr('i', 2)
		g.emit(opGlobalSet, u(0))
		g.expr('I', 2)
		g.emit(opGlobalSet, u(1))
	case 9:
		g.address(3)
		g.expr('I', 2)
		g.emit(0x37, u(g.n(4)), u(g.n(100)))
	case 10, 11:
		g.bulk()
	case 12:
		g.multi()
	case 13:
		if g.chance(3) {
			g.expr('i', 1)
			g.emit(i32c(1), 0x71, opMemoryGrow, 0, opDrop)
		} else {
			g.emit(opRefNull, typeFunc)
			g.expr('i', 1)
			g.emit(i32c(3), 0x71, opTableGrow, u(0), opDrop)
		}
	case 14:
		if g.chance(4) {
			for _, c := range g.result {
				g.expr(c, 2)
			}
			g.emit(opReturn)
		}
	case 15:
		if g.chance(40) {
			g.emit(opUnreachable)
		}
	default:
		t := rune("iIfFv"[g.n(5)])
		g.expr(t, 3)
		if l := g.local(t); l >= 0 {
			g.emit(set(l))
		} else {
			g.emit(opDrop)
		}
	}
}

// loop runs its body at most a few times; each time costs gas.
func (g *generator) loop(body func(int)) {
	if g.depth >= 4 {
		return
	}
	counter := len(g.vars) - 1 - g.loops%3
	g.loops++
	g.emit(i32c(int64(1+g.n(6))), set(counter), opLoop, typeEmpty)
	g.labels = append(g.labels, genLoop)
	body(1 + g.n(2))
	g.emit(opGlobalGet, u(genGas), i32c(1), opI32Sub, opGlobalSet, u(genGas))
	g.emit(get(counter), i32c(1), opI32Sub, opLocalTee, u(counter), i32c(0), 0x4a) // i32.gt_s
	g.emit(opGlobalGet, u(genGas), i32c(0), 0x4a, 0x71, opBrIf, u(0))
	g.labels = g.labels[:len(g.labels)-1]
	g.emit(opEnd)
}

// branch leaves some block that is not a loop's, on a condition or not.
func (g *generator) branch() {
	l := g.n(len(g.labels))
	types := g.labels[len(g.labels)-1-l]
	if g.isLoop(l) {
		return
	}
	g.emit(opBlock, typeEmpty) // so that what follows may be unreachable
	for _, c := range types {
		g.expr(c, 1)
	}
	if g.chance(2) {
		g.emit(opBr, u(l+1))
	} else {
		g.expr('i', 1)
		g.emit(opBrIf, u(l+1))
		for range types {
			g.emit(opDrop)
		}
	}
	g.emit(opEnd)
}

// isLoop reports whether a label is a loop's: a branch there would not take gas.
func (g *generator) isLoop(l int) bool { return g.labels[len(g.labels)-1-l] == genLoop }

// switches is nested blocks with a br_table.
func (g *generator) switches(body func(int)) {
	k := 2 + g.n(4)
	for range k {
		g.emit(opBlock, typeEmpty)
		g.labels = append(g.labels, "")
	}
	g.expr('i', 2)
	g.emit(i32c(7), 0x71, opBrTable, u(k))
	for range k + 1 {
		g.emit(u(g.n(k)))
	}
	for range k {
		g.emit(opEnd)
		g.labels = g.labels[:len(g.labels)-1]
		if g.chance(2) {
			body(1)
		}
	}
}

func (g *generator) call() {
	args := func(t genType) {
		g.emit(get(0), i32c(1), opI32Sub)
		for _, c := range t.params[1:] {
			g.expr(c, 1)
		}
	}
	var t genType
	if g.chance(2) {
		f := g.n(len(g.sigs))
		t = g.typs[g.sigs[f]]
		args(t)
		g.emit(opCall, u(f))
	} else {
		t = g.typs[g.n(len(g.typs))]
		f := g.n(len(g.sigs))
		if g.chance(3) { // of any function, which traps mostly
			args(t)
			g.expr('i', 1)
			g.emit(i32c(31), 0x71, opCallIndirect, u(t.index), u(0))
		} else {
			t = g.typs[g.sigs[f]]
			g.emit(i32c(29), opRefFunc, u(f), opTableSet, u(0))
			args(t)
			g.emit(i32c(29), opCallIndirect, u(t.index), u(0))
			// ref.func must name a function that a segment names too.
			g.b.elems = append(g.b.elems, cat(3, 0, u(1), u(f)))
		}
	}
	for i := range t.results {
		c := rune(t.results[len(t.results)-1-i])
		if l := g.local(c); l >= 0 {
			g.emit(set(l))
		} else {
			g.emit(opDrop)
		}
	}
}

// bulk is a bulk instruction, in bounds mostly, short or long.
func (g *generator) bulk() {
	length := func(limit int) {
		switch g.n(4) {
		case 0: // known, small
			g.emit(i32c(int64(g.n(100))))
		case 1: // known, large
			g.emit(i32c(int64(g.n(limit))))
		case 2:
			g.expr('i', 1)
			g.emit(i32c(0xff), 0x71)
		default:
			g.expr('i', 1)
			if !g.chance(20) {
				g.emit(i32c(int64(limit)), 0x70) // i32.rem_u
			}
		}
	}
	where := func(limit int) {
		g.expr('i', 1)
		g.emit(i32c(int64(limit)), 0x70)
	}
	passive := len(g.b.datas) - 2 // 70,000 bytes, then 100
	switch g.n(9) {
	case 0:
		where(genPages * pageBytes / 4)
		g.expr('i', 1)
		length(genPages * pageBytes * 3 / 4)
		g.emit(opMemoryFill, 0)
	case 1, 2:
		where(genPages * pageBytes / 4)
		where(genPages * pageBytes / 4)
		length(genPages * pageBytes * 3 / 4)
		g.emit(opMemoryCopy, 0, 0)
	case 3:
		where(genPages * pageBytes / 2)
		where(100)
		length(max(g.segment-100, 1))
		g.emit(opMemoryInit, u(passive), 0)
	case 4:
		where(1000)
		where(10)
		length(90)
		g.emit(opMemoryInit, u(passive+1), 0)
		if g.chance(10) {
			g.emit(opDataDrop, u(passive+g.n(2)))
		}
	case 5:
		where(10)
		where(5)
		length(15)
		g.emit(opTableInit, u(1), u(g.n(2)))
		if g.chance(10) {
			g.emit(opElemDrop, u(1))
		}
	case 6:
		t := g.n(2)
		where(genTable0 / 2)
		where(genTable0 / 2)
		length(genTable0 / 2)
		g.emit(opTableCopy, u(t), u(g.n(2)))
	case 7:
		where(genTable1 / 5)
		where(genTable1 / 5)
		length(genTable1 * 4 / 5)
		g.emit(opTableCopy, u(1), u(1))
	case 8:
		where(genTable1 / 5)
		if g.chance(2) {
			g.emit(opRefNull, typeFunc)
		} else {
			g.emit(i32c(1), opTableGet, u(0))
		}
		length(genTable1 * 4 / 5)
		g.emit(opTableFill, u(1))
	}
}

// multi is a block with parameters and results.
func (g *generator) multi() {
	t := g.typs[g.n(len(g.typs))]
	for _, c := range t.params {
		g.expr(c, 1)
	}
	g.emit(opBlock, s(t.index))
	g.labels = append(g.labels, t.results)
	for range t.params {
		g.emit(opDrop)
	}
	for _, c := range t.results {
		g.expr(c, 1)
	}
	if g.chance(2) {
		g.emit(opBr, u(0))
	}
	g.emit(opEnd)
	g.labels = g.labels[:len(g.labels)-1]
	for range t.results {
		g.emit(opDrop)
	}
}
