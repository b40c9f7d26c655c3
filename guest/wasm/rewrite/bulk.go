package rewrite

import "math/bits"

// bulk is a bulk instruction with its immediates, for which a function is
// synthesized that performs it in steps.
type bulk struct {
	op   int
	x, y uint32
}

// bulk notes that the function for an instruction is needed.
func (a *analysis) bulk(in *instr) {
	b := bulkOf(in)
	if _, ok := a.bulkIndex[b]; !ok {
		a.bulkIndex[b] = uint32(len(a.bulks))
		a.bulks = append(a.bulks, b)
	}
}

func bulkOf(in *instr) bulk {
	switch in.op {
	case opMemoryInit, opTableFill:
		return bulk{op: in.op, x: in.x}
	case opTableInit, opTableCopy:
		return bulk{op: in.op, x: in.x, y: in.y}
	}
	return bulk{op: in.op}
}

// table returns the table that b writes.
func (b bulk) table() uint32 {
	if b.op == opTableInit {
		return b.y // element segment, table
	}
	return b.x
}

func (b bulk) name() string {
	switch b.op {
	case opMemoryInit:
		return "agentos.memory.init"
	case opMemoryCopy:
		return "agentos.memory.copy"
	case opMemoryFill:
		return "agentos.memory.fill"
	case opTableInit:
		return "agentos.table.init"
	case opTableCopy:
		return "agentos.table.copy"
	}
	return "agentos.table.fill"
}

// params returns the parameters, those of the instruction.
func (b bulk) params(m *module) []byte {
	if b.op == opTableFill {
		return []byte{typeI32, m.tables[b.x].elem, typeI32}
	}
	return []byte{typeI32, typeI32, typeI32}
}

// Locals of a synthesized function: the instruction's operands and scratch.
const (
	localDst = iota
	localSrc // source, or the value to fill with
	localLen
	localWord
)

// code returns the body of the synthesized function:
//
//	if len > step {
//		if the whole is out of bounds { perform it whole: the engine traps before it writes }
//		for len > step { charge(step); perform step; advance }
//	}
//	charge(len); perform the rest
//
// A copy whose destination lies above its source goes backwards, so that no
// step overwrites what a later one reads.
func (b bulk) code(e *emitter) []byte {
	step, perFuel := int64(bulkBytes), uint(bits.TrailingZeros(bulkBytesPerFuel))
	if b.op >= opTableInit {
		step, perFuel = bulkEntries, uint(bits.TrailingZeros(bulkEntriesPerFuel))
	}
	w := &asm{e: e}
	w.u32(1) // one group of locals
	w.u32(1)
	w.raw(typeI64)

	longer := func() {
		w.get(localLen)
		w.i32(step)
		w.op(opI32GtU)
	}
	// pair performs the instruction at dst and src, plus len when fromEnd.
	pair := func(fromEnd bool, length func()) {
		for _, l := range []uint32{localDst, localSrc} {
			w.get(l)
			if fromEnd {
				w.get(localLen)
				w.op(opI32Add)
			}
		}
		length()
		b.perform(w)
	}
	whole := func() { pair(false, func() { w.get(localLen) }) }
	aStep := func() { w.i32(step) }
	advance := func(l uint32, op int) {
		w.get(l)
		w.i32(step)
		w.op(op)
		w.set(l)
	}

	longer()
	w.block(opIf)
	b.outOfBounds(w)
	w.block(opIf)
	whole()
	w.op(opUnreachable) // the engine has trapped
	w.op(opEnd)
	if b.op == opMemoryInit || b.op == opTableInit {
		// Nothing at the end of the range: traps if the segment is shorter.
		w.i32(0)
		w.get(localSrc)
		w.get(localLen)
		w.op(opI32Add)
		w.i32(0)
		b.perform(w)
	}
	forward := func() {
		w.block(opLoop)
		w.charge(step>>perFuel, 0, localWord)
		pair(false, aStep)
		advance(localDst, opI32Add)
		if b.op != opMemoryFill && b.op != opTableFill {
			advance(localSrc, opI32Add)
		}
		advance(localLen, opI32Sub)
		longer()
		w.branchIf(0)
		w.op(opEnd)
	}
	if b.op == opMemoryCopy || b.op == opTableCopy {
		w.get(localDst)
		w.get(localSrc)
		w.op(opI32LeU)
		w.block(opIf)
		forward()
		w.op(opElse)
		w.block(opLoop)
		w.charge(step>>perFuel, 0, localWord)
		advance(localLen, opI32Sub)
		pair(true, aStep)
		longer()
		w.branchIf(0)
		w.op(opEnd)
		w.op(opEnd)
	} else {
		forward()
	}
	w.op(opEnd)
	w.chargeLen(localLen, perFuel)
	whole()
	w.op(opEnd)
	return w.b
}

// outOfBounds pushes whether the range leaves its memory or table, or a source
// range 32 bits.
func (b bulk) outOfBounds(w *asm) {
	end := func(l uint32) { // l + len, in 64 bits
		w.get(l)
		w.op(opI64ExtendU)
		w.get(localLen)
		w.op(opI64ExtendU)
		w.op(opI64Add)
	}
	size := func(table uint32) {
		if b.op < opTableInit {
			w.op(opMemorySize)
			w.raw(0)
			w.op(opI64ExtendU)
			w.i64(16)
			w.op(opI64Shl)
			return
		}
		w.op(opTableSize)
		w.u32(table)
		w.op(opI64ExtendU)
	}
	end(localDst)
	size(b.table())
	w.op(opI64GtU)
	switch b.op {
	case opMemoryCopy, opTableCopy:
		end(localSrc)
		size(b.y)
	case opMemoryInit, opTableInit:
		end(localSrc)
		w.i64(1<<32 - 1)
	default:
		return
	}
	w.op(opI64GtU)
	w.op(opI32Or)
}

// perform emits the instruction itself.
func (b bulk) perform(w *asm) {
	in := instr{op: b.op, x: b.x, y: b.y}
	w.b = w.e.m.appendInstr(w.b, &in)
}

// asm writes instructions.
type asm struct {
	e *emitter
	b []byte
}

func (w *asm) raw(c byte)   { w.b = append(w.b, c) }
func (w *asm) u32(v uint32) { w.b = appendU32(w.b, v) }
func (w *asm) op(op int)    { w.b = appendOp(w.b, op) }

func (w *asm) get(local uint32) { w.op(opLocalGet); w.u32(local) }
func (w *asm) set(local uint32) { w.op(opLocalSet); w.u32(local) }
func (w *asm) i32(v int64)      { w.op(opI32Const); w.b = appendS64(w.b, v) }
func (w *asm) i64(v int64)      { w.op(opI64Const); w.b = appendS64(w.b, v) }

func (w *asm) block(op int)          { w.op(op); w.raw(typeEmpty) }
func (w *asm) branchIf(label uint32) { w.op(opBrIf); w.u32(label) }

// charge takes fuel and depth from the word, and yields if no fuel is
// left then. Yielding is the else branch: with it as the then branch the engine
// reloads every live value on the path that does not yield.
func (w *asm) charge(fuel, depth int64, scratch uint32) {
	w.budget(opGlobalGet)
	w.i64(-(fuel<<fuelShift + depth))
	w.op(opI64Add)
	w.yieldIfSpent(scratch)
}

// chargeLen is charge for one and a local's length divided by a power of two.
func (w *asm) chargeLen(length uint32, perFuel uint) {
	w.budget(opGlobalGet)
	w.get(length)
	w.i32(int64(perFuel))
	w.op(opI32ShrU)
	w.i32(1)
	w.op(opI32Add)
	w.op(opI64ExtendU)
	w.i64(fuelShift)
	w.op(opI64Shl)
	w.op(opI64Sub)
	w.yieldIfSpent(localWord)
}

func (w *asm) yieldIfSpent(scratch uint32) {
	w.op(opLocalTee)
	w.u32(scratch)
	w.budget(opGlobalSet)
	w.get(scratch)
	w.i64(0)
	w.op(opI64GeS)
	w.block(opIf)
	w.op(opElse)
	w.op(opCall)
	w.u32(uint32(w.e.m.importFuncs))
	w.op(opEnd)
}

// release gives back depth.
func (w *asm) release(depth int64) {
	w.budget(opGlobalGet)
	w.i64(depth)
	w.op(opI64Add)
	w.budget(opGlobalSet)
}

func (w *asm) budget(op int) {
	w.op(op)
	w.u32(uint32(len(w.e.m.globals)))
}
