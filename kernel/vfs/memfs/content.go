package memfs

import (
	"math"
	"sync"

	"github.com/agentos-kernel/agentos/internal/invariants"
	"github.com/agentos-kernel/agentos/kernel/abi"
)

const (
	blockSize = 4096
	fanShift  = 9
	fan       = 1 << fanShift // pointers in an index block, which is as big as a data block
	maxSize   = 1 << 46       // bytes in one file
	appendAt  = math.MaxInt64 // write where the file ends
)

type block [blockSize]byte

// index is an inner node of the tree of blocks. At height 1 it points to data,
// above to indexes.
type index struct {
	data [fan]*block
	sub  []*index // instead of data, above height 1
}

// content is the data of a file: a radix tree of blocks, in which a hole is
// missing. Index blocks are charged like data: a file of one block has none.
type content struct {
	mu sync.Mutex
	// mu guards all below.
	size   int64
	height int    // 0: only block zero, in first
	first  *block // at height 0
	root   *index // above
	blocks uint64 // data and index blocks, charged
	// reserve is how many more are charged already, by allocate.
	reserve uint64
}

func (c *content) length() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

// capacity is how many blocks a tree of height h can hold.
func capacity(h int) int64 { return 1 << (fanShift * h) }

// get returns block i, or nil for a hole.
func (c *content) get(i int64) *block {
	if c.height == 0 {
		if i == 0 {
			return c.first
		}
		return nil
	}
	if i >= capacity(c.height) {
		return nil
	}
	n := c.root
	for h := c.height; n != nil; h-- {
		if h == 1 {
			return n.data[i&(fan-1)]
		}
		n = n.sub[i>>(fanShift*(h-1))&(fan-1)]
	}
	return nil
}

// put returns block i, making it if it is a hole; nil if the charge was refused.
func (c *content) put(l *ledger, i int64) *block {
	for i >= capacity(c.height) {
		if !c.deepen(l) {
			return nil
		}
	}
	if c.height == 0 {
		if c.first == nil && c.pay(l) {
			c.first = new(block)
		}
		return c.first
	}
	if c.root == nil {
		if c.root = c.newIndex(l, c.height); c.root == nil {
			return nil
		}
	}
	n := c.root
	for h := c.height; h > 1; h-- {
		slot := &n.sub[i>>(fanShift*(h-1))&(fan-1)]
		if *slot == nil {
			if *slot = c.newIndex(l, h-1); *slot == nil {
				return nil
			}
		}
		n = *slot
	}
	slot := &n.data[i&(fan-1)]
	if *slot == nil && c.pay(l) {
		*slot = new(block)
	}
	return *slot
}

// pay charges one block.
func (c *content) pay(l *ledger) bool {
	if c.reserve > 0 {
		c.reserve--
	} else if !l.charge(blockSize) {
		return false
	}
	c.blocks++
	return true
}

func (c *content) newIndex(l *ledger, h int) *index {
	if !c.pay(l) {
		return nil
	}
	n := new(index)
	if h > 1 {
		n.sub = make([]*index, fan)
	}
	return n
}

// deepen puts the tree under a new root.
func (c *content) deepen(l *ledger) bool {
	if c.first == nil && c.root == nil {
		c.height++
		return true
	}
	n := c.newIndex(l, c.height+1)
	if n == nil {
		return false
	}
	if c.height == 0 {
		n.data[0], c.first = c.first, nil
	} else {
		n.sub[0] = c.root
	}
	c.root = n
	c.height++
	return true
}

// read copies from off into bufs; it returns less at the end of the file.
func (c *content) read(bufs [][]byte, off int64) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	invariants.Point("memfs.content")
	for _, b := range bufs {
		for len(b) > 0 && off < c.size {
			part := b[:min(int64(len(b)), blockSize-off%blockSize, c.size-off)]
			if blk := c.get(off / blockSize); blk != nil {
				copy(part, blk[off%blockSize:])
			} else {
				clear(part)
			}
			n += len(part)
			off += int64(len(part))
			b = b[len(part):]
		}
	}
	return n
}

// write copies bufs to off. It writes as much as there is space for and fails
// only if that is nothing. end is the offset after what was written.
func (c *content) write(l *ledger, bufs [][]byte, off int64) (n int, end int64, _ abi.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	invariants.Point("memfs.content")
	if off == appendAt {
		off = c.size
	}
	for _, b := range bufs {
		for len(b) > 0 {
			errno := abi.OK
			var blk *block
			if off >= maxSize {
				errno = abi.EFBIG
			} else if blk = c.put(l, off/blockSize); blk == nil {
				errno = abi.ENOSPC
			}
			if errno != abi.OK {
				if n > 0 {
					errno = abi.OK
				}
				return n, off, errno
			}
			k := copy(blk[off%blockSize:], b)
			n += k
			off += int64(k)
			b = b[k:]
			c.size = max(c.size, off)
		}
	}
	return n, off, abi.OK
}

// truncate sets the size. What lies beyond is returned; growing makes a hole.
func (c *content) truncate(l *ledger, size int64) abi.Errno {
	if size > maxSize {
		return abi.EFBIG
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	invariants.Point("memfs.content")
	if size < c.size {
		keep := (size + blockSize - 1) / blockSize
		freed := c.prune(keep)
		c.blocks -= freed
		l.uncharge((freed + c.reserve) * blockSize) // a shorter file gives up what it reserved
		c.reserve = 0
		if blk := c.get(size / blockSize); blk != nil && size%blockSize != 0 {
			clear(blk[size%blockSize:]) // what comes back later is zero
		}
	}
	c.size = size
	return abi.OK
}

// prune forgets every block from the keepth on and returns how many there were,
// index blocks included.
func (c *content) prune(keep int64) (freed uint64) {
	if c.height == 0 {
		if keep == 0 && c.first != nil {
			c.first, freed = nil, 1
		}
		return freed
	}
	if c.root == nil {
		return 0
	}
	empty, freed := c.root.prune(c.height, keep)
	if empty {
		c.root, c.height = nil, 0
		freed++
	}
	return freed
}

// prune is content.prune for a subtree of height h, in which keep counts from
// its own first block. It reports whether nothing is left.
func (n *index) prune(h int, keep int64) (empty bool, freed uint64) {
	empty = true
	for i := range int64(fan) {
		if h == 1 {
			if n.data[i] != nil && i >= keep {
				n.data[i] = nil
				freed++
			}
			empty = empty && n.data[i] == nil
			continue
		}
		if n.sub[i] == nil {
			continue
		}
		each := capacity(h - 1)
		if (i+1)*each <= keep {
			empty = false
			continue
		}
		gone, f := n.sub[i].prune(h-1, max(0, keep-i*each))
		freed += f
		if gone {
			n.sub[i] = nil
			freed++
		}
		empty = empty && n.sub[i] == nil
	}
	return empty, freed
}

// countHoles bounds the blocks that allocate looks at one by one; of a longer
// range, all are taken for holes.
const countHoles = 1 << 20

// allocate reserves space for the holes of a range and extends the file over it.
// The space is the file's: whichever hole is written first takes of it.
func (c *content) allocate(l *ledger, off, length int64) abi.Errno {
	if off > maxSize-length {
		return abi.EFBIG
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	invariants.Point("memfs.content")
	from, to := off/blockSize, (off+length-1)/blockSize+1
	holes := to - from
	if holes <= countHoles {
		for i := from; i < to; i++ {
			if c.get(i) != nil {
				holes--
			}
		}
	}
	if holes > 0 {
		// Index blocks are needed too: at most one for each fan of the level
		// below, and a way down to either end.
		need := uint64(holes+holes/(fan-1)) + 12
		if need > c.reserve {
			if !l.charge((need - c.reserve) * blockSize) {
				return abi.ENOSPC
			}
			c.reserve = need
		}
	}
	c.size = max(c.size, off+length)
	return abi.OK
}

// drop forgets everything and returns how many bytes it was charged.
func (c *content) drop() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := (c.blocks + c.reserve) * blockSize
	c.size, c.height, c.first, c.root, c.blocks, c.reserve = 0, 0, nil, nil, 0, 0
	return n
}
