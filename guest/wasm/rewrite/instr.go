package rewrite

// instr is one decoded instruction. Which fields hold something depends on its
// immediate.
type instr struct {
	op    int
	off   int    // of the opcode in the original module
	x, y  uint32 // indices; alignment and offset of a memory access; block type
	n     int64  // integer constant
	block blockType
	raw   []byte // constants as they are, labels of br_table in their encoding
	count int    // labels of br_table, its default included
}

// blockType is how many values a block takes and leaves, and its encoding.
type blockType struct {
	kind            byte // typeEmpty, a value type, or 0 for index
	index           uint32
	params, results int
}

// next decodes one instruction, with every index checked against the original
// module. Labels are checked by the caller, who knows the nesting.
func (m *module) next(r *reader, in *instr) {
	in.off = r.pos
	op := int(r.byte())
	switch op {
	case 0xfc:
		sub := r.u32()
		op = miscBase + int(min(sub, 0xff))
	case 0xfd:
		sub := r.u32()
		if sub > 0xff || r.pos != in.off+1+lenU32(sub) {
			// The engine reads one byte here, so a longer encoding of a small
			// number would be another instruction to it.
			r.fail(in.off, "unknown instruction 0xfd %#x", sub)
		}
		op = simdBase + int(sub&0xff)
	}
	in.op = op
	switch shapes[op].imm {
	case immUnknown:
		r.fail(in.off, "unknown instruction %s", opName(op))
	case immNone:
	case immBlock:
		in.block = m.blockType(r)
	case immLabel:
		in.x = r.u32()
	case immLabels:
		n := r.count("branch targets", 1, maxBranchTargets)
		start := r.pos
		for i := 0; i <= n && r.err == nil; i++ {
			r.u32()
		}
		in.raw, in.count = r.b[start:r.pos], n+1
	case immFunc:
		in.x = r.index("function", len(m.funcs))
	case immCallIndirect:
		in.x = r.index("type", len(m.types))
		in.y = r.index("table", len(m.tables))
	case immLocal:
		in.x = r.u32() // checked by the caller, who knows the function
	case immGlobal:
		in.x = r.index("global", len(m.globals))
	case immTable:
		in.x = r.index("table", len(m.tables))
	case immMemArg:
		m.memArg(r, in)
	case immMemLane:
		m.memArg(r, in)
		in.raw = r.bytes(1)
	case immMemory:
		m.needMemory(r)
		r.zero("the memory index")
	case immMemMem:
		m.needMemory(r)
		r.zero("the memory index")
		r.zero("the memory index")
	case immI32:
		in.n = r.signed(32)
	case immI64:
		in.n = r.signed(64)
	case imm32:
		in.raw = r.bytes(4)
	case imm64:
		in.raw = r.bytes(8)
	case imm128:
		in.raw = r.bytes(16)
	case immRefType:
		in.x = uint32(r.refType())
	case immSelect:
		if off, n := r.pos, r.u32(); n != 1 {
			r.fail(off, "select must name one type, it names %d", n)
		}
		in.x = uint32(r.valueType())
	case immLane:
		in.raw = r.bytes(1)
	case immDataMem:
		in.x = m.dataIndex(r)
		m.needMemory(r)
		r.zero("the memory index")
	case immData:
		in.x = m.dataIndex(r)
	case immElemTable:
		in.x = r.index("element segment", len(m.elems))
		in.y = r.index("table", len(m.tables))
	case immElem:
		in.x = r.index("element segment", len(m.elems))
	case immTableTable:
		in.x = r.index("table", len(m.tables))
		in.y = r.index("table", len(m.tables))
	}
}

func (m *module) memArg(r *reader, in *instr) {
	m.needMemory(r)
	off := r.pos
	if in.x = r.u32(); in.x > 4 {
		r.fail(off, "alignment 2^%d is larger than natural", in.x)
	}
	in.y = r.u32()
}

func (m *module) needMemory(r *reader) {
	if !m.hasMemory {
		r.fail(r.pos, "the instruction needs a memory, there is none")
	}
}

func (m *module) dataIndex(r *reader) uint32 {
	if !m.hasDataCount {
		r.fail(r.pos, "the instruction needs a data count section, there is none")
	}
	return r.index("data segment", m.dataCount)
}

func (m *module) blockType(r *reader) blockType {
	switch c := r.peek(); c {
	case typeEmpty:
		r.pos++
		return blockType{kind: c}
	case typeI32, typeI64, typeF32, typeF64, typeV128, typeFunc, typeExtern:
		r.pos++
		return blockType{kind: c, results: 1}
	}
	off := r.pos
	i := r.signed(33)
	if r.err != nil {
		return blockType{}
	}
	if i < 0 || i >= int64(len(m.types)) {
		r.fail(off, "unknown block type %d", i)
		return blockType{}
	}
	t := &m.types[i]
	return blockType{index: uint32(i), params: len(t.Params), results: len(t.Results)}
}

func opName(op int) string {
	const hex = "0123456789abcdef"
	b := []byte("0x")
	switch {
	case op >= simdBase:
		b = append(b, "fd 0x"...)
	case op >= miscBase:
		b = append(b, "fc 0x"...)
	}
	return string(append(b, hex[op>>4&0xf], hex[op&0xf]))
}

// appendOp encodes an opcode.
func appendOp(b []byte, op int) []byte {
	switch {
	case op >= simdBase:
		return appendU32(append(b, 0xfd), uint32(op-simdBase))
	case op >= miscBase:
		return appendU32(append(b, 0xfc), uint32(op-miscBase))
	}
	return append(b, byte(op))
}

// appendInstr encodes an instruction anew, with the indices that shift shifted.
func (m *module) appendInstr(b []byte, in *instr) []byte {
	b = appendOp(b, in.op)
	switch shapes[in.op].imm {
	case immUnknown, immNone:
	case immBlock:
		b = appendBlockType(b, in.block)
	case immLabel, immLocal, immGlobal, immTable, immElem:
		b = appendU32(b, in.x)
	case immLabels:
		b = appendU32(b, uint32(in.count-1))
		for raw := in.raw; len(raw) > 0; {
			label, n := uvarint(raw)
			b = appendU32(b, label)
			raw = raw[n:]
		}
	case immFunc:
		b = appendU32(b, m.shift(in.x))
	case immCallIndirect, immElemTable, immTableTable:
		b = appendU32(appendU32(b, in.x), in.y)
	case immMemArg:
		b = appendU32(appendU32(b, in.x), in.y)
	case immMemLane:
		b = append(appendU32(appendU32(b, in.x), in.y), in.raw...)
	case immMemory:
		b = append(b, 0)
	case immMemMem:
		b = append(b, 0, 0)
	case immI32, immI64:
		b = appendS64(b, in.n)
	case imm32, imm64, imm128, immLane:
		b = append(b, in.raw...)
	case immRefType:
		b = append(b, byte(in.x))
	case immSelect:
		b = append(b, 1, byte(in.x))
	case immDataMem:
		b = append(appendU32(b, m.mapData(in.x)), 0)
	case immData:
		b = appendU32(b, m.mapData(in.x))
	}
	return b
}

func appendBlockType(b []byte, t blockType) []byte {
	if t.kind != 0 {
		return append(b, t.kind)
	}
	return appendS64(b, int64(t.index))
}
