package rewrite

// Opcodes are numbered in one space: the byte itself, or the code after the
// prefix plus a base.
const (
	miscBase = 0x100 // 0xFC
	simdBase = 0x200 // 0xFD
	opCount  = 0x300

	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opSelectT      = 0x1c
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableGet     = 0x25
	opTableSet     = 0x26
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opRefNull      = 0xd0
	opRefIsNull    = 0xd1
	opRefFunc      = 0xd2

	opI64GeS     = 0x59
	opI32GtU     = 0x4b
	opI32LeU     = 0x4d
	opI64GtU     = 0x56
	opI32Add     = 0x6a
	opI32Sub     = 0x6b
	opI32Or      = 0x72
	opI64Add     = 0x7c
	opI64Sub     = 0x7d
	opI64Shl     = 0x86
	opI32ShrU    = 0x76
	opI64ExtendU = 0xad

	opMemoryInit = miscBase + 8
	opDataDrop   = miscBase + 9
	opMemoryCopy = miscBase + 10
	opMemoryFill = miscBase + 11
	opTableInit  = miscBase + 12
	opElemDrop   = miscBase + 13
	opTableCopy  = miscBase + 14
	opTableGrow  = miscBase + 15
	opTableSize  = miscBase + 16
	opTableFill  = miscBase + 17

	opV128Const = simdBase + 12
	opShuffle   = simdBase + 13
)

// Value types and the empty block type, as encoded.
const (
	typeI32    = 0x7f
	typeI64    = 0x7e
	typeF32    = 0x7d
	typeF64    = 0x7c
	typeV128   = 0x7b
	typeFunc   = 0x70
	typeExtern = 0x6f
	typeEmpty  = 0x40
)

// immediate is what follows an opcode.
type immediate uint8

const (
	immUnknown immediate = iota // there is no such instruction
	immNone
	immBlock
	immLabel
	immLabels
	immFunc
	immCallIndirect
	immLocal
	immGlobal
	immTable
	immMemArg
	immMemory
	immI32
	immI64
	imm32
	imm64
	imm128
	immRefType
	immSelect
	immLane
	immMemLane
	immDataMem // data, memory
	immData
	immMemMem
	immElemTable // elem, table
	immElem
	immTableTable
)

// shape is all that the rewriter knows about an instruction: its immediates, its
// effect on the height of the stack where that is fixed, and its weight, a rough
// cost in simple instructions.
type shape struct {
	imm       immediate
	pop, push uint8
	weight    uint8
}

type shapeRange struct {
	from, to int
	shape
}

// shapes is the instruction set: WebAssembly 2.0 and nothing else. Instructions
// whose effect depends on types have pop and push 0 and are handled by name.
var shapes = expandShapes([]shapeRange{
	{opUnreachable, opNop, shape{immNone, 0, 0, 1}},
	{opBlock, opLoop, shape{immBlock, 0, 0, 1}},
	{opIf, opIf, shape{immBlock, 1, 0, 1}},
	{opElse, opElse, shape{immNone, 0, 0, 1}},
	{opEnd, opEnd, shape{immNone, 0, 0, 0}},
	{opBr, opBr, shape{immLabel, 0, 0, 1}},
	{opBrIf, opBrIf, shape{immLabel, 1, 0, 1}},
	{opBrTable, opBrTable, shape{immLabels, 1, 0, 4}},
	{opReturn, opReturn, shape{immNone, 0, 0, 1}},
	{opCall, opCall, shape{immFunc, 0, 0, 32}},
	{opCallIndirect, opCallIndirect, shape{immCallIndirect, 1, 0, 40}},
	{opDrop, opDrop, shape{immNone, 1, 0, 0}},
	{opSelect, opSelect, shape{immNone, 3, 1, 1}},
	{opSelectT, opSelectT, shape{immSelect, 3, 1, 1}},
	{opLocalGet, opLocalGet, shape{immLocal, 0, 1, 1}},
	{opLocalSet, opLocalSet, shape{immLocal, 1, 0, 1}},
	{opLocalTee, opLocalTee, shape{immLocal, 1, 1, 1}},
	{opGlobalGet, opGlobalGet, shape{immGlobal, 0, 1, 1}},
	{opGlobalSet, opGlobalSet, shape{immGlobal, 1, 0, 1}},
	{opTableGet, opTableGet, shape{immTable, 1, 1, 2}},
	{opTableSet, opTableSet, shape{immTable, 2, 0, 2}},
	{0x28, 0x35, shape{immMemArg, 1, 1, 1}}, // loads
	{0x36, 0x3e, shape{immMemArg, 2, 0, 1}}, // stores
	{opMemorySize, opMemorySize, shape{immMemory, 0, 1, 1}},
	{opMemoryGrow, opMemoryGrow, shape{immMemory, 1, 1, 255}},
	{opI32Const, opI32Const, shape{immI32, 0, 1, 1}},
	{opI64Const, opI64Const, shape{immI64, 0, 1, 1}},
	{opF32Const, opF32Const, shape{imm32, 0, 1, 1}},
	{opF64Const, opF64Const, shape{imm64, 0, 1, 1}},
	{0x45, 0x45, shape{immNone, 1, 1, 1}}, // i32.eqz
	{0x46, 0x4f, shape{immNone, 2, 1, 1}}, // i32 comparisons
	{0x50, 0x50, shape{immNone, 1, 1, 1}}, // i64.eqz
	{0x51, 0x66, shape{immNone, 2, 1, 1}}, // i64, f32, f64 comparisons
	{0x67, 0x69, shape{immNone, 1, 1, 1}}, // i32 bit counts
	{0x6a, 0x6c, shape{immNone, 2, 1, 1}}, // i32 add sub mul
	{0x6d, 0x70, shape{immNone, 2, 1, 12}},
	{0x71, 0x78, shape{immNone, 2, 1, 1}},
	{0x79, 0x7b, shape{immNone, 1, 1, 1}}, // i64 bit counts
	{0x7c, 0x7e, shape{immNone, 2, 1, 1}},
	{0x7f, 0x82, shape{immNone, 2, 1, 20}},
	{0x83, 0x8a, shape{immNone, 2, 1, 1}},
	{0x8b, 0x90, shape{immNone, 1, 1, 2}}, // f32 unary
	{0x91, 0x91, shape{immNone, 1, 1, 8}},
	{0x92, 0x94, shape{immNone, 2, 1, 2}},
	{0x95, 0x95, shape{immNone, 2, 1, 8}},
	{0x96, 0x98, shape{immNone, 2, 1, 3}},
	{0x99, 0x9e, shape{immNone, 1, 1, 2}}, // f64 unary
	{0x9f, 0x9f, shape{immNone, 1, 1, 10}},
	{0xa0, 0xa2, shape{immNone, 2, 1, 2}},
	{0xa3, 0xa3, shape{immNone, 2, 1, 10}},
	{0xa4, 0xa6, shape{immNone, 2, 1, 3}},
	{0xa7, 0xbf, shape{immNone, 1, 1, 2}}, // conversions
	{0xc0, 0xc4, shape{immNone, 1, 1, 1}}, // sign extension
	{opRefNull, opRefNull, shape{immRefType, 0, 1, 1}},
	{opRefIsNull, opRefIsNull, shape{immNone, 1, 1, 1}},
	{opRefFunc, opRefFunc, shape{immFunc, 0, 1, 16}},

	{miscBase + 0, miscBase + 7, shape{immNone, 1, 1, 4}}, // saturating truncation
	{opMemoryInit, opMemoryInit, shape{immDataMem, 3, 0, 64}},
	{opDataDrop, opDataDrop, shape{immData, 0, 0, 2}},
	{opMemoryCopy, opMemoryCopy, shape{immMemMem, 3, 0, 64}},
	{opMemoryFill, opMemoryFill, shape{immMemory, 3, 0, 64}},
	{opTableInit, opTableInit, shape{immElemTable, 3, 0, 40}},
	{opElemDrop, opElemDrop, shape{immElem, 0, 0, 2}},
	{opTableCopy, opTableCopy, shape{immTableTable, 3, 0, 40}},
	{opTableGrow, opTableGrow, shape{immTable, 2, 1, 255}},
	{opTableSize, opTableSize, shape{immTable, 0, 1, 2}},
	{opTableFill, opTableFill, shape{immTable, 3, 0, 40}},

	{simdBase + 0, simdBase + 10, shape{immMemArg, 1, 1, 2}},
	{simdBase + 11, simdBase + 11, shape{immMemArg, 2, 0, 2}},
	{opV128Const, opV128Const, shape{imm128, 0, 1, 2}},
	{opShuffle, opShuffle, shape{imm128, 2, 1, 4}},
	{simdBase + 14, simdBase + 14, shape{immNone, 2, 1, 4}}, // swizzle
	{simdBase + 15, simdBase + 20, shape{immNone, 1, 1, 2}}, // splat
	{simdBase + 21, simdBase + 22, shape{immLane, 1, 1, 2}},
	{simdBase + 23, simdBase + 23, shape{immLane, 2, 1, 2}},
	{simdBase + 24, simdBase + 25, shape{immLane, 1, 1, 2}},
	{simdBase + 26, simdBase + 26, shape{immLane, 2, 1, 2}},
	{simdBase + 27, simdBase + 27, shape{immLane, 1, 1, 2}},
	{simdBase + 28, simdBase + 28, shape{immLane, 2, 1, 2}},
	{simdBase + 29, simdBase + 29, shape{immLane, 1, 1, 2}},
	{simdBase + 30, simdBase + 30, shape{immLane, 2, 1, 2}},
	{simdBase + 31, simdBase + 31, shape{immLane, 1, 1, 2}},
	{simdBase + 32, simdBase + 32, shape{immLane, 2, 1, 2}},
	{simdBase + 33, simdBase + 33, shape{immLane, 1, 1, 2}},
	{simdBase + 34, simdBase + 34, shape{immLane, 2, 1, 2}},
	{simdBase + 35, simdBase + 76, shape{immNone, 2, 1, 2}}, // comparisons
	{simdBase + 77, simdBase + 77, shape{immNone, 1, 1, 2}}, // not
	{simdBase + 78, simdBase + 81, shape{immNone, 2, 1, 2}},
	{simdBase + 82, simdBase + 82, shape{immNone, 3, 1, 2}}, // bitselect
	{simdBase + 83, simdBase + 83, shape{immNone, 1, 1, 2}}, // any_true
	{simdBase + 84, simdBase + 87, shape{immMemLane, 2, 1, 2}},
	{simdBase + 88, simdBase + 91, shape{immMemLane, 2, 0, 2}},
	{simdBase + 92, simdBase + 93, shape{immMemArg, 1, 1, 2}},
	{simdBase + 94, simdBase + 100, shape{immNone, 1, 1, 3}},
	{simdBase + 101, simdBase + 102, shape{immNone, 2, 1, 3}},
	{simdBase + 103, simdBase + 106, shape{immNone, 1, 1, 3}},
	{simdBase + 107, simdBase + 115, shape{immNone, 2, 1, 3}},
	{simdBase + 116, simdBase + 117, shape{immNone, 1, 1, 3}},
	{simdBase + 118, simdBase + 121, shape{immNone, 2, 1, 2}},
	{simdBase + 122, simdBase + 122, shape{immNone, 1, 1, 3}},
	{simdBase + 123, simdBase + 123, shape{immNone, 2, 1, 2}},
	{simdBase + 124, simdBase + 129, shape{immNone, 1, 1, 3}},
	{simdBase + 130, simdBase + 130, shape{immNone, 2, 1, 3}},
	{simdBase + 131, simdBase + 132, shape{immNone, 1, 1, 3}},
	{simdBase + 133, simdBase + 134, shape{immNone, 2, 1, 3}},
	{simdBase + 135, simdBase + 138, shape{immNone, 1, 1, 3}},
	{simdBase + 139, simdBase + 147, shape{immNone, 2, 1, 3}},
	{simdBase + 148, simdBase + 148, shape{immNone, 1, 1, 3}},
	{simdBase + 149, simdBase + 153, shape{immNone, 2, 1, 3}},
	{simdBase + 155, simdBase + 159, shape{immNone, 2, 1, 3}},
	{simdBase + 160, simdBase + 161, shape{immNone, 1, 1, 3}},
	{simdBase + 163, simdBase + 164, shape{immNone, 1, 1, 3}},
	{simdBase + 167, simdBase + 170, shape{immNone, 1, 1, 3}},
	{simdBase + 171, simdBase + 174, shape{immNone, 2, 1, 3}},
	{simdBase + 177, simdBase + 177, shape{immNone, 2, 1, 3}},
	{simdBase + 181, simdBase + 186, shape{immNone, 2, 1, 3}},
	{simdBase + 188, simdBase + 191, shape{immNone, 2, 1, 3}},
	{simdBase + 192, simdBase + 193, shape{immNone, 1, 1, 3}},
	{simdBase + 195, simdBase + 196, shape{immNone, 1, 1, 3}},
	{simdBase + 199, simdBase + 202, shape{immNone, 1, 1, 3}},
	{simdBase + 203, simdBase + 206, shape{immNone, 2, 1, 4}},
	{simdBase + 209, simdBase + 209, shape{immNone, 2, 1, 3}},
	{simdBase + 213, simdBase + 223, shape{immNone, 2, 1, 5}},
	{simdBase + 224, simdBase + 225, shape{immNone, 1, 1, 3}},
	{simdBase + 227, simdBase + 227, shape{immNone, 1, 1, 10}},
	{simdBase + 228, simdBase + 235, shape{immNone, 2, 1, 8}},
	{simdBase + 236, simdBase + 237, shape{immNone, 1, 1, 3}},
	{simdBase + 239, simdBase + 239, shape{immNone, 1, 1, 16}},
	{simdBase + 240, simdBase + 247, shape{immNone, 2, 1, 10}},
	{simdBase + 248, simdBase + 255, shape{immNone, 1, 1, 5}},
})

func expandShapes(ranges []shapeRange) (t [opCount]shape) {
	for _, r := range ranges {
		for op := r.from; op <= r.to; op++ {
			t[op] = r.shape
		}
	}
	return t
}
