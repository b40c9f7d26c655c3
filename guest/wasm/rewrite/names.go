package rewrite

// functionName is an entry of the name section, its index that of the output.
type functionName struct {
	index uint32
	name  string
}

// nameSection writes the names of functions and of the module. A name section
// that is malformed names nothing: custom sections cannot make a module invalid.
func (e *emitter) nameSection() {
	m := e.m
	module, names := m.decodeNames()
	b := appendName(nil, "name")
	if module != "" {
		b = appendSection(b, 0, appendName(nil, module))
	}
	// In order of index: imports, the yield, the original's functions, ours.
	at := 0
	for at < len(names) && int(names[at].index) < m.importFuncs {
		at++
	}
	count := uint32(len(names) + 1 + len(e.a.bulks))
	f := appendU32(make([]byte, 0, len(m.names)+1024), count)
	add := func(index uint32, name string) {
		f = appendName(appendU32(f, index), name)
	}
	for _, n := range names[:at] {
		add(n.index, n.name)
	}
	add(uint32(m.importFuncs), "agentos.yield")
	for _, n := range names[at:] {
		add(n.index, n.name)
	}
	for i, x := range e.a.bulks {
		add(uint32(len(m.funcs)+1+i), x.name())
	}
	e.section(secCustom, appendSection(b, 1, f))
}

// decodeNames returns the module's name and its functions' in order of index,
// or nothing.
func (m *module) decodeNames() (string, []functionName) {
	r := &reader{b: m.names, end: len(m.names)}
	var module string
	var names []functionName
	for r.err == nil && r.pos < len(m.names) {
		id := r.byte()
		size := int(r.u32())
		if r.err != nil || size > r.left() {
			return "", nil
		}
		r.end = r.pos + size
		switch id {
		case 0:
			module = r.name("module name")
		case 1:
			if names != nil {
				return "", nil
			}
			n := r.count("names", 2, maxFunctions)
			names = make([]functionName, 0, n)
			for last := -1; n > 0 && r.err == nil; n-- {
				i := r.index("function", len(m.funcs))
				name := r.name("function name")
				if r.err != nil || int(i) <= last {
					return "", nil
				}
				last = int(i)
				names = append(names, functionName{m.shift(i), name})
			}
		default: // locals and the rest are not kept
			r.pos = r.end
		}
		if r.pos != r.end {
			return "", nil
		}
		r.end = len(m.names)
	}
	if r.err != nil {
		return "", nil
	}
	return module, names
}
