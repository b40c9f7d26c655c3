package rewrite

// The call graph has a node for every defined function and, after those, one
// for every type, which stands for an indirect call of it: call_indirect leads
// to its type's node, and that to each function of the type that a reference is
// made to. Tables are never shared with another module, so no other function
// can be reached. Imported functions do not call back.

// edge adds a direct call.
func (a *analysis) edge(f *function, stamp, callee uint32) {
	if int(callee) < a.m.importFuncs {
		return
	}
	node := callee - uint32(a.m.importFuncs)
	if node+1 == stamp {
		f.selfCall = true
	}
	a.addEdge(stamp, node)
}

func (a *analysis) typeEdge(stamp, typ uint32) {
	a.addEdge(stamp, uint32(len(a.m.codes))+a.typeClass[typ])
}

func (a *analysis) addEdge(stamp, node uint32) {
	if a.seen[node] != stamp {
		a.seen[node] = stamp
		a.edges = append(a.edges, node)
	}
}

// depths decides which functions are charged and which count their depth.
//
// A function that can call itself, by whatever way, counts its frame. The others
// form chains; uncounted frames in a chain are added up from the callees, and a
// function with which they would exceed UncountedStack counts all of them.
// Components come out of Tarjan's algorithm callees first.
func (a *analysis) depths() {
	n := len(a.m.codes)
	nodes := n + len(a.m.types)
	// Functions by type class: the edges of the type nodes.
	byType := make([][]uint32, len(a.m.types))
	for i := range a.fns {
		if a.m.taken[a.m.importFuncs+i] {
			class := a.typeClass[a.m.funcs[a.m.importFuncs+i]]
			byType[class] = append(byType[class], uint32(i))
		}
	}
	next := func(v uint32) []uint32 {
		if int(v) < n {
			return a.edges[a.fns[v].edgeFrom:a.fns[v].edgeTo]
		}
		return byType[int(v)-n]
	}

	type visit struct {
		node uint32
		edge int
	}
	var (
		order     = make([]uint32, nodes) // 0: not visited
		low       = make([]uint32, nodes)
		done      = make([]bool, nodes)
		uncounted = make([]uint64, nodes) // of the deepest chain from here
		stack     []uint32
		work      []visit
		counter   uint32
	)
	for root := range nodes {
		if order[root] != 0 {
			continue
		}
		work = append(work, visit{node: uint32(root)})
		for len(work) > 0 {
			v := &work[len(work)-1]
			if v.edge == 0 && order[v.node] == 0 {
				counter++
				order[v.node], low[v.node] = counter, counter
				stack = append(stack, v.node)
			}
			out := next(v.node)
			descended := false
			for v.edge < len(out) {
				w := out[v.edge]
				if order[w] == 0 {
					work = append(work, visit{node: w})
					descended = true
					break
				}
				if !done[w] {
					low[v.node] = min(low[v.node], low[w])
				}
				v.edge++
			}
			if descended {
				continue
			}
			node := v.node
			work = work[:len(work)-1]
			if len(work) > 0 {
				parent := work[len(work)-1].node
				low[parent] = min(low[parent], low[node])
			}
			if low[node] != order[node] {
				continue
			}
			at := len(stack) - 1
			for stack[at] != node {
				at--
			}
			a.component(stack[at:], next, uncounted, done)
			stack = stack[:at]
		}
	}
}

// component settles one strongly connected component.
func (a *analysis) component(members []uint32, next func(uint32) []uint32, uncounted []uint64, done []bool) {
	n := len(a.m.codes)
	for _, v := range members {
		done[v] = true
	}
	recursive := len(members) > 1 || int(members[0]) < n && a.fns[members[0]].selfCall
	var below uint64
	for _, v := range members {
		for _, w := range next(v) {
			below = max(below, uncounted[w]) // 0 for the members themselves
		}
	}
	chain := below
	for _, v := range members {
		if int(v) >= n {
			continue
		}
		f := &a.fns[v]
		f.metered = f.calls || f.hasLoop || f.weight > leafWeight
		switch {
		case recursive:
			f.counted, f.depth = true, f.frame
		case below+f.frame > UncountedStack:
			f.counted, f.depth = true, below+f.frame
			chain = 0
		default:
			chain = below + f.frame
		}
		f.metered = f.metered || f.counted
	}
	for _, v := range members {
		uncounted[v] = chain
	}
}

// cost returns the fuel that the entry of f costs.
func (f *function) cost() int64 {
	return int64(min(1+f.weight/weightPerFuel+max(f.frame, f.depth)/frameBytesPerFuel, maxCost))
}

// units returns what f takes from the low part of the word.
func (f *function) units() int64 {
	if !f.counted {
		return 0
	}
	return int64((f.depth + depthUnit - 1) / depthUnit)
}
