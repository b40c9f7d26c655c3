package rewrite

import (
	"reflect"
	"strconv"
	"testing"
)

// TestBulkEdges compares each bulk instruction with the engine's own where
// steps, bounds, and overlaps meet. The operands are parameters, so nothing is
// kept inline.
func TestBulkEdges(t *testing.T) {
	const (
		memory  = 4 * pageBytes
		entries = 3 * bulkEntries
		segment = 2*bulkBytes + 5
		elems   = 2*bulkEntries + 3
	)
	b := &build{memory: cat(1, u(4), u(4)), count: true}
	b.tables = [][]byte{cat(typeFunc, 1, u(entries), u(entries)), cat(typeFunc, 0, u(entries-100))}
	pattern := make([]byte, segment)
	for i := range pattern {
		pattern[i] = byte(i * 7 >> 3)
	}
	var refs []byte
	for i := range elems {
		if i%3 == 0 {
			refs = append(refs, cat(opRefNull, typeFunc, opEnd)...)
		} else {
			refs = append(refs, cat(opRefFunc, u(0), opEnd)...)
		}
	}
	b.elems = [][]byte{cat(5, typeFunc, u(elems), refs), cat(4, i32c(0), opEnd, u(elems), refs)}
	b.datas = [][]byte{cat(1, u(segment), pattern), cat(0, i32c(100), opEnd, u(segment), pattern)}
	run := b.fn("iii", "", "")
	b.export("run", KindFunc, run)
	b.export("state", KindFunc, b.fn("", "iii", "iii", stateCode()))
	b.export("memory", KindMemory, 0)

	cases := map[string]struct {
		code   []byte
		value  bool // the second operand is a value, not a place
		dst    []int
		src    []int
		length []int
	}{
		"memory.fill": {cat(get(0), get(1), get(2), opMemoryFill, 0), true,
			[]int{0, 1, memory, memory - bulkBytes}, []int{0x55},
			[]int{0, 1, bulkBytes - 1, bulkBytes, bulkBytes + 1, 2 * bulkBytes, 2*bulkBytes + 1, memory, memory + 1, -1}},
		"memory.copy": {cat(get(0), get(1), get(2), opMemoryCopy, 0, 0), false,
			[]int{0, 1, bulkBytes + 1, memory}, []int{0, 77, bulkBytes, memory, -1},
			[]int{0, 5, bulkBytes, bulkBytes + 1, 2 * bulkBytes, 3*bulkBytes - 1, 3 * bulkBytes, memory, -1}},
		"memory.init": {cat(get(0), get(1), get(2), opMemoryInit, 0, 0), false,
			[]int{0, 3, memory - 1}, []int{0, 1, segment, -1},
			[]int{0, 1, bulkBytes + 1, segment - 1, segment, segment + 1, -1}},
		"memory.init dropped": {cat(opDataDrop, 0, get(0), get(1), get(2), opMemoryInit, 0, 0), false,
			[]int{0, 3}, []int{0, 1}, []int{0, 1, bulkBytes + 1}},
		"table.fill": {cat(get(0), i32c(1), opTableGet, 0, get(2), opTableFill, 0), true,
			[]int{0, 1, entries}, []int{0},
			[]int{0, 1, bulkEntries, bulkEntries + 1, 2 * bulkEntries, entries, entries + 1, -1}},
		"table.copy": {cat(get(0), get(1), get(2), opTableCopy, 0, 0), false,
			[]int{0, 1, bulkEntries, entries}, []int{0, 1, 2, bulkEntries, -1},
			[]int{0, 1, bulkEntries + 1, 2 * bulkEntries, entries, -1}},
		"table.copy across": {cat(get(0), get(1), get(2), opTableCopy, 1, 0), false,
			[]int{0, 5, bulkEntries}, []int{0, 1, 200}, []int{0, bulkEntries + 1, entries - 100, entries - 99, entries}},
		"table.init": {cat(get(0), get(1), get(2), opTableInit, 0, 0), false,
			[]int{0, 1, entries - 1}, []int{0, 1, elems, -1}, []int{0, bulkEntries + 1, elems - 1, elems, elems + 1, -1}},
		"table.init dropped": {cat(opElemDrop, 0, get(0), get(1), get(2), opTableInit, 0, 0), false,
			[]int{0}, []int{0}, []int{0, 1, bulkEntries + 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b.funcs[run].code = c.code
			wasm := b.bytes()
			rewritten := mustRewrite(t, wasm, Options{}).Module
			m := newMachine(t)
			m.slice = 3
			ends := map[bool]int{}
			for _, dst := range c.dst {
				for _, src := range c.src {
					for _, length := range c.length {
						args := []uint64{uint64(uint32(dst)), uint64(uint32(src)), uint64(uint32(length))}
						want := m.run(t, wasm, 0, args...)
						m.yields = 0
						got := m.run(t, rewritten, 0, args...)
						if !reflect.DeepEqual(got, want) {
							t.Errorf("%d, %d, %d:\n got %+v\nwant %+v", dst, src, length, got, want)
						}
						if unit := bulkBytesPerFuel; want.failed == "" && c.code[len(c.code)-2] != 0 && length > 8*unit && m.yields == 0 {
							t.Errorf("%d, %d, %d: no yield", dst, src, length)
						}
						ends[want.failed == ""]++
					}
				}
			}
			if ends[true] == 0 || ends[false] == 0 {
				t.Errorf("the cases are poor: %v", ends)
			}
		})
	}
}

// TestActiveSegmentIsEmpty holds the specification where the engine does not:
// nothing is left of an active segment once the module is instantiated.
func TestActiveSegmentIsEmpty(t *testing.T) {
	for _, length := range []int{0, 1, 5000} {
		b := &build{memory: cat(1, 1, 1), count: true}
		b.datas = [][]byte{cat(0, i32c(0), opEnd, u(5000), make([]byte, 5000))}
		b.export("run", KindFunc, b.fn("i", "", "", i32c(0), i32c(0), get(0), opMemoryInit, 0, 0, opDataDrop, 0))
		m := newMachine(t)
		o := m.run(t, mustRewrite(t, b.bytes(), Options{}).Module, 0, uint64(length))
		if (o.failed == "") != (length == 0) {
			t.Errorf("length %d: %q", length, o.failed)
		}
	}
}

// TestInlineBulk shows that short constant lengths stay as they are, and that
// nothing else does.
func TestInlineBulk(t *testing.T) {
	for _, c := range []struct {
		length []byte
		inline bool
	}{
		{i32c(0), true},
		{i32c(inlineBytes), true},
		{i32c(inlineBytes + 1), false},
		{i32c(-1), false},
		{cat(i32c(1), opNop), false},
		{cat(i64c(1), opDrop, get(0)), false},
		{cat(get(0), opIf, typeI32, get(0), opElse, i32c(1), opEnd), false},
		{cat(get(0), i32c(1), opI32Add), false},
	} {
		b := &build{memory: cat(1, 1, 1)}
		b.fn("i", "", "", get(0), get(0), c.length, opMemoryFill, 0)
		m, err := decode(b.bytes(), Options{MaxMemoryPages: 1, MaxTableEntries: 1, MaxDataBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		a, err := analyze(m)
		if err != nil {
			t.Fatalf("% x: %v", c.length, err)
		}
		if inline := len(a.bulks) == 0; inline != c.inline {
			t.Errorf("% x: inline %v, want %v", c.length, inline, c.inline)
		}
	}
}

// TestMergeData compares memory after instantiation for segments in and out of
// order, overlapping, empty, and out of bounds.
func TestMergeData(t *testing.T) {
	type seg struct {
		at, size int
		passive  bool
	}
	m := newMachine(t)
	for name, c := range map[string]struct {
		segs []seg
		want int // segments in the output
	}{
		"adjacent":           {[]seg{{0, 5, false}, {5, 5, false}, {10, 1, false}}, 1},
		"gaps":               {[]seg{{0, 5, false}, {5 + mergeGap, 5, false}, {100, 1, false}}, 1},
		"wide gap":           {[]seg{{0, 5, false}, {6 + mergeGap, 5, false}}, 2},
		"overlap":            {[]seg{{0, 9, false}, {4, 9, false}}, 2},
		"descending":         {[]seg{{50, 9, false}, {40, 9, false}, {49, 3, false}}, 3},
		"gap written before": {[]seg{{20, 9, false}, {0, 5, false}, {30, 5, false}, {36, 2, false}}, 3},
		"inside an earlier":  {[]seg{{0, 90, false}, {20, 5, false}, {30, 5, false}, {90, 3, false}}, 4},
		"empty":              {[]seg{{0, 0, false}, {3, 0, false}, {4, 5, false}}, 1},
		"passive between":    {[]seg{{0, 5, false}, {0, 9, true}, {5, 5, false}}, 2},
		"last out of bounds": {[]seg{{pageBytes - 5, 5, false}, {pageBytes, 1, false}}, 1},
		"empty at the end":   {[]seg{{pageBytes - 5, 5, false}, {pageBytes, 0, false}}, 1},
		"empty past the end": {[]seg{{pageBytes - 5, 5, false}, {pageBytes + 1, 0, false}}, 1},
		"at the top":         {[]seg{{0, 1, false}, {-1, 1, false}, {-1, 5, false}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			b := &build{memory: cat(1, 1, 1)}
			b.export("memory", KindMemory, 0)
			b.export("run", KindFunc, b.fn("", "", ""))
			for i, s := range c.segs {
				bytes := []byte{}
				for j := range s.size {
					bytes = append(bytes, byte(1+i*16+j))
				}
				if s.passive {
					b.datas = append(b.datas, cat(1, u(s.size), bytes))
				} else {
					b.datas = append(b.datas, cat(0, i32c(int64(s.at)), opEnd, u(s.size), bytes))
				}
			}
			wasm := b.bytes()
			res := mustRewrite(t, wasm, Options{})
			want, got := m.run(t, wasm, 0), m.run(t, res.Module, 0)
			// The engine names the segment in its message.
			if want.failed != "" && got.failed != "" {
				want.failed, got.failed = "out of bounds", "out of bounds"
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			if res.DataSegments != c.want {
				t.Errorf("%d segments, want %d", res.DataSegments, c.want)
			}
		})
	}
	t.Run("many", func(t *testing.T) {
		b := &build{memory: cat(1, 40, 40)}
		b.export("memory", KindMemory, 0)
		b.export("run", KindFunc, b.fn("", "", ""))
		for i := range 30_000 {
			b.datas = append(b.datas, cat(0, i32c(int64(i*40)), opEnd, 8, []byte(strconv.Itoa(10_000_000+i))))
		}
		wasm := b.bytes()
		res := mustRewrite(t, wasm, Options{})
		if res.DataSegments != 1 {
			t.Errorf("%d segments", res.DataSegments)
		}
		if got, want := m.run(t, res.Module, 0), m.run(t, wasm, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	})
}
