package rewrite

// mergeGap is the widest gap between two data segments that is filled with
// zeros to make them one. The engine keeps 24 bytes a segment and instance, and
// an encoded segment takes about six more.
const mergeGap = 64

// mergeData merges neighbouring active segments into one.
//
// It does so only where the final memory, and whether instantiation traps, stay
// the same: offsets are constants, and each merged segment begins at or after
// the end of everything written before, so that no order changes and gaps hold
// the zeros of a fresh memory. A merged segment is out of bounds exactly if its
// last part is. An imported memory is not fresh: nothing is merged.
func (e *emitter) mergeData() {
	m := e.m
	m.dataMap = make([]uint32, len(m.datas))
	e.datas = make([]data, 0, min(len(m.datas), 1024))
	const unknown = ^uint64(0)
	var (
		high    uint64 // end of everything written so far, or unknown
		last    = -1   // the emitted segment that ends at high
		lastEnd uint64
		owned   bool // the bytes of the last one are ours to extend
	)
	if m.memoryImported {
		high = unknown
	}
	for i := range m.datas {
		d := &m.datas[i]
		if d.passive || d.offset.op != opI32Const || high == unknown {
			if !d.passive {
				high = unknown // an offset that is not known here
			}
			m.dataMap[i] = uint32(len(e.datas))
			e.datas = append(e.datas, *d)
			continue
		}
		from := uint64(uint32(d.offset.n))
		to := from + uint64(len(d.bytes))
		if last >= 0 && lastEnd == high && from >= high && from-high <= mergeGap && to <= 1<<32 {
			s := &e.datas[last]
			if !owned {
				s.bytes = append(make([]byte, 0, len(s.bytes)+len(d.bytes)+mergeGap), s.bytes...)
				owned = true
			}
			s.bytes = append(s.bytes, make([]byte, from-high)...)
			s.bytes = append(s.bytes, d.bytes...)
			m.dataMap[i] = uint32(last)
			high, lastEnd = to, to
			continue
		}
		last, lastEnd, owned = len(e.datas), to, false
		high = max(high, to)
		m.dataMap[i] = uint32(last)
		e.datas = append(e.datas, *d)
	}
	if m.hasDataCount {
		// What is left of an active segment after instantiation is nothing; the
		// engine keeps its bytes, and merging would show. References to one go
		// to an empty segment instead.
		m.emptyData = uint32(len(e.datas))
		for i := range m.datas {
			if !m.datas[i].passive {
				e.datas = append(e.datas, data{passive: true})
				break
			}
		}
	}
}

// mapData maps the index of a data segment in memory.init and data.drop.
func (m *module) mapData(i uint32) uint32 {
	if !m.datas[i].passive {
		return m.emptyData
	}
	return m.dataMap[i]
}
