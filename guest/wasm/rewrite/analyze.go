package rewrite

// analysis is what one pass over all bodies finds out.
type analysis struct {
	m     *module
	fns   []function // defined functions, in order
	loops []uint32   // cost of every loop, in order of appearance in all bodies
	edges []uint32   // call graph, see graph.go

	bulks     []bulk
	bulkIndex map[bulk]uint32

	types     map[string]uint32 // structure → first index with it
	typeClass []uint32          // type index → first index with its structure

	compileCost uint64
	allLocals   int // of all functions

	// Scratch of body, kept to be reused.
	frames  []ctrl
	touched []uint32
	seen    []uint32 // graph node → last function (plus one) that has an edge to it
	locals  []localUse
}

// function is what is known of a defined function.
type function struct {
	params, locals int
	code           int // offset of the first instruction
	results        []byte
	edgeFrom       int
	edgeTo         int

	calls, hasLoop bool
	selfCall       bool
	copies         bool   // has a bulk instruction on memory of unknown length
	weight         uint64 // of what runs once a call, loops left out
	frame          uint64 // estimated stack frame, bytes

	metered, counted bool
	depth            uint64 // bytes to count
}

// ctrl is an open block during the pass.
type ctrl struct {
	op              int
	base            int // height of the stack below the block's parameters
	params, results int
	dead            bool // the rest of the block is unreachable
	loop            int
	weight          uint64 // of what surrounds a loop
}

func analyze(m *module) (*analysis, *Error) {
	a := &analysis{m: m, bulkIndex: map[bulk]uint32{}}
	a.classifyTypes()
	n := len(m.codes)
	a.fns = make([]function, n)
	a.seen = make([]uint32, n+len(m.types))
	for i := range a.fns {
		r := &reader{b: m.src, pos: m.codes[i].from, end: m.codes[i].to, section: sectionNames[secCode]}
		a.body(r, i)
		if r.err != nil {
			return nil, r.err
		}
	}
	if a.compileCost > maxCompileCost {
		return nil, &Error{Offset: len(m.src), Limit: true, Reason: "the module would take too long to compile"}
	}
	a.depths()
	return a, nil
}

// classifyTypes finds types of the same structure, which call_indirect takes
// for one another.
func (a *analysis) classifyTypes() {
	a.types = make(map[string]uint32, len(a.m.types))
	a.typeClass = make([]uint32, len(a.m.types))
	for i, t := range a.m.types {
		key := typeKey(t.Params, t.Results)
		class, ok := a.types[key]
		if !ok {
			class = uint32(i)
			a.types[key] = class
		}
		a.typeClass[i] = class
	}
}

func typeKey(params, results []byte) string {
	key := make([]byte, 0, len(params)+len(results)+1)
	key = append(key, params...)
	key = append(key, 0)
	return string(append(key, results...))
}

// body decodes one function body, checks what rewriting depends on, and fills
// in the function.
func (a *analysis) body(r *reader, index int) {
	m := a.m
	f := &a.fns[index]
	stamp := uint32(index) + 1
	t := &m.types[m.funcs[m.importFuncs+index]]
	f.params, f.results = len(t.Params), t.Results
	vectors := hasVector(t.Params) || hasVector(t.Results)
	for n := r.count("groups of locals", 2, maxLocals); n > 0 && r.err == nil; n-- {
		off := r.pos
		k := r.u32()
		vectors = r.valueType() == typeV128 || vectors
		if uint64(f.locals)+uint64(k) > maxLocals {
			r.refuse(off, "more than %d locals in a function", maxLocals)
			return
		}
		f.locals += int(k)
		if a.allLocals += int(k); a.allLocals > maxAllLocals {
			r.refuse(off, "more than %d locals in all functions", maxAllLocals)
			return
		}
	}
	f.code = r.pos
	f.edgeFrom = len(a.edges)
	vars := f.params + f.locals
	if len(a.locals) < vars {
		a.locals = append(a.locals, make([]localUse, vars-len(a.locals))...)
	}

	var (
		height, highest int
		weight          uint64
		est             = estimate{touched: a.touched[:0]}
		in              instr
		short           bool // the instruction before pushed a small constant
		frames          = append(a.frames[:0], ctrl{op: opBlock, results: len(t.Results)})
	)
	pop := func(n int) {
		c := &frames[len(frames)-1]
		height -= n
		if height < c.base {
			if !c.dead {
				r.fail(in.off, "instruction %s finds too few operands", opName(in.op))
			}
			height = c.base
		}
	}
	push := func(n int) {
		height += n
		highest = max(highest, height)
	}
	dead := func() {
		c := &frames[len(frames)-1]
		height, c.dead = c.base, true
	}
	arity := func(label uint32) int {
		if uint64(label) >= uint64(len(frames)) {
			r.fail(in.off, "unknown label %d, %d blocks are open", label, len(frames))
			return 0
		}
		c := &frames[len(frames)-1-int(label)]
		if c.op == opLoop {
			return c.params
		}
		return c.results
	}
	call := func(t *FuncType) {
		pop(len(t.Params))
		est.call(height, len(t.Params), len(t.Results))
		push(len(t.Results))
	}

	for len(frames) > 0 {
		if r.err == nil && r.pos >= r.end {
			r.fail(r.pos, "a function body ends inside a block")
		}
		if m.next(r, &in); r.err != nil {
			return
		}
		sh := &shapes[in.op]
		est.ops++
		weight += uint64(sh.weight)
		pop(int(sh.pop))
		wasShort := short
		short = in.op == opI32Const && in.n >= 0 && in.n <= inlineBytes
		switch in.op {
		case opBlock, opLoop, opIf:
			if len(frames) >= maxNesting {
				r.refuse(in.off, "blocks nest deeper than %d", maxNesting)
				return
			}
			pop(in.block.params)
			c := ctrl{op: in.op, base: height, params: in.block.params, results: in.block.results}
			if in.op == opLoop {
				c.loop, c.weight = len(a.loops), weight
				a.loops = append(a.loops, 0)
				weight = 0
				f.hasLoop = true
				est.segment++
				est.call(height, 0, 0) // its yield
				est.blocks += 2
			}
			frames = append(frames, c)
			push(in.block.params)
			est.block(height, in.block.params+in.block.results)
		case opElse:
			c := &frames[len(frames)-1]
			if c.op != opIf {
				r.fail(in.off, "else without if")
				return
			}
			c.op, c.dead, height = opElse, false, c.base+c.params
			est.segment++
			est.block(height, 0)
		case opEnd:
			c := frames[len(frames)-1]
			frames = frames[:len(frames)-1]
			if c.op == opLoop {
				a.loops[c.loop] = uint32(min(1+weight/weightPerFuel, maxCost))
				weight = c.weight
			}
			height = c.base
			push(c.results)
			est.segment++
		case opBr:
			est.block(height, arity(in.x))
			dead()
		case opBrIf:
			est.block(height, arity(in.x))
		case opBrTable:
			for raw := in.raw; len(raw) > 0; {
				label, n := uvarint(raw)
				est.block(0, arity(label))
				raw = raw[n:]
			}
			est.block(height, 0)
			dead()
		case opReturn:
			est.block(height, len(t.Results))
			dead()
		case opUnreachable:
			dead()
		case opCall:
			f.calls = true
			a.edge(f, stamp, in.x)
			call(&m.types[m.funcs[in.x]])
		case opCallIndirect:
			f.calls = true
			a.typeEdge(stamp, in.x)
			call(&m.types[in.x])
		case opRefFunc:
			if !m.referable[in.x] {
				r.fail(in.off, "ref.func names function %d, which nothing declares", in.x)
				return
			}
			m.taken[in.x] = true
			est.call(height, 1, 1)
		case opLocalGet, opLocalSet, opLocalTee:
			if uint64(in.x) >= uint64(vars) {
				r.fail(in.off, "unknown local index %d, there are %d", in.x, vars)
				return
			}
			l := &a.locals[in.x]
			if l.stamp != stamp {
				*l = localUse{stamp: stamp}
				est.touched = append(est.touched, in.x)
			}
			if in.op == opLocalGet {
				est.get(l)
			} else {
				est.set(l, len(frames))
			}
		case opGlobalSet:
			if !m.globals[in.x].mutable {
				r.fail(in.off, "global %d is set and is not mutable", in.x)
				return
			}
		case opMemoryCopy, opMemoryFill, opMemoryInit, opTableCopy, opTableFill, opTableInit:
			est.call(height, 3, 0)
			if m.inlined(&in, wasShort) {
				break
			}
			f.calls = true
			f.copies = f.copies || in.op < opTableInit
			a.bulk(&in)
		case opMemoryGrow, opTableGrow:
			est.call(height, 2, 1)
		default:
			vectors = vectors || in.op >= simdBase
			if sh.imm == immMemArg {
				est.values += 3 // bounds check and address
			}
		}
		push(int(sh.push))
		est.values += uint64(sh.push)
	}
	if r.pos != r.end {
		r.fail(r.pos, "a function body goes on after its end")
		return
	}
	a.frames = frames[:0]
	f.edgeTo = len(a.edges)
	f.weight = weight
	est.finish(a.locals)
	a.touched = est.touched
	if f.frame = est.frame(f, highest, vectors); f.frame > maxFrame {
		r.refuse(m.codes[index].from, "the function could need a stack frame of %d bytes", f.frame)
		return
	}
	cost := est.compile(f)
	if cost > maxFunctionCost {
		r.refuse(m.codes[index].from, "the function would take too long to compile")
		return
	}
	a.compileCost += cost
}

func hasVector(types []byte) bool {
	for _, t := range types {
		if t == typeV128 {
			return true
		}
	}
	return false
}

// inlined reports whether a bulk instruction may stay as it is: its length is a
// small constant, or its segment is an active one, of which nothing is left.
func (m *module) inlined(in *instr, short bool) bool {
	switch in.op {
	case opMemoryCopy, opMemoryFill:
		return short
	case opMemoryInit:
		return short || !m.datas[in.x].passive
	}
	return false
}

// uvarint decodes an integer that reader.u32 has accepted.
func uvarint(b []byte) (uint32, int) {
	var v uint32
	for i, c := range b {
		v |= uint32(c&0x7f) << (7 * uint(i))
		if c < 0x80 {
			return v, i + 1
		}
	}
	return v, len(b)
}
