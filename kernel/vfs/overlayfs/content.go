package overlayfs

import (
	"bytes"
	"math/bits"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/vfs"
)

const (
	maxSize   = 1 << 46 // bytes in one file
	copyChunk = 256 << 10
)

// content is the data of a regular file in the store. Each block that was
// written is charged and marked; the rest are holes.
type content struct {
	num   uint64      // of the object; 0 for none. Written under fs.mu and mu
	ready atomic.Bool // there is an object, and the journal knows that it is written to

	mu     sync.RWMutex
	node   vfs.Node         // the object, while the inode is held and it was needed
	h      vfs.Handle       // for all handles
	blocks map[int64]uint64 // 64 blocks each
}

// has reports whether there is an object. It needs fs.mu.
func (c *content) has() bool { return c.num != 0 }

// create makes an empty object. It needs fs.mu.
func (c *content) create(fs *FS) abi.Errno {
	if !fs.ledger.charge(objectCost, 0) {
		return fs.full()
	}
	fs.object++
	n, h, errno := fs.objects.Create(strconv.FormatUint(fs.object, 10), 0o600, abi.ORead|abi.OWrite)
	if errno != abi.OK {
		fs.ledger.uncharge(objectCost, 0)
		return errno
	}
	c.num, c.node, c.h = fs.object, n, h
	return abi.OK
}

// adopt takes over what o holds. It needs fs.mu.
func (c *content) adopt(o *content, ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.num, c.node, c.h, c.blocks = o.num, o.node, o.h, o.blocks
	o.num, o.node, o.h, o.blocks = 0, nil, nil, nil
	c.ready.Store(ready)
}

// open returns the object and its handle. It needs mu for writing.
func (c *content) open(fs *FS) (vfs.Node, vfs.Handle, abi.Errno) {
	if c.node == nil {
		n, errno := fs.objects.Lookup(strconv.FormatUint(c.num, 10))
		if errno != abi.OK {
			return nil, nil, errno
		}
		c.node = n
	}
	if c.h == nil {
		h, errno := c.node.Open(abi.ORead | abi.OWrite)
		if errno != abi.OK {
			return nil, nil, errno
		}
		c.h = h
	}
	return c.node, c.h, abi.OK
}

// rest closes what is open of the object, until it is needed again.
func (c *content) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.h != nil {
		_ = c.h.Close() // Sync is what tells of errors
		c.h = nil
	}
	if c.node != nil {
		c.node.Close()
		c.node = nil
	}
}

// discard removes the object. One that cannot be removed stays as litter in the
// store: the journal does not name it. It needs fs.mu.
func (c *content) discard(fs *FS) {
	c.rest()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.num == 0 {
		return
	}
	_ = fs.objects.Remove(strconv.FormatUint(c.num, 10), false) // see above
	n := uint64(0)
	for _, w := range c.blocks {
		n += uint64(bits.OnesCount64(w))
	}
	fs.ledger.uncharge(objectCost+n*blockSize, uint64(len(c.blocks))*wordCost)
	c.num, c.blocks = 0, nil
	c.ready.Store(false)
}

func (c *content) stat(fs *FS) (abi.Stat, abi.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _, errno := c.open(fs)
	if errno != abi.OK {
		return abi.Stat{}, errno
	}
	return n.Stat()
}

func (c *content) setTimes(fs *FS, atime, mtime *int64) abi.Errno {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _, errno := c.open(fs)
	if errno != abi.OK {
		return errno
	}
	return n.SetTimes(atime, mtime)
}

// reader returns the handle to read from, or nil if there is no object.
func (c *content) reader(fs *FS) (vfs.Handle, abi.Errno) {
	c.mu.RLock()
	num, h := c.num, c.h
	c.mu.RUnlock()
	if num == 0 || h != nil {
		return h, abi.OK
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, h, errno := c.open(fs)
	return h, errno
}

// pay charges and marks the blocks of a range that are not yet, as many from its
// beginning as there is space for, and returns how many bytes those cover. It
// needs mu.
func (c *content) pay(fs *FS, off, n int64) int64 {
	if n == 0 {
		return 0
	}
	if c.blocks == nil {
		c.blocks = map[int64]uint64{}
	}
	from, to := off/blockSize, (off+n-1)/blockSize+1
	for b := from; b < to; b++ {
		word, ok := c.blocks[b/64]
		bit := uint64(1) << (b % 64)
		if word&bit != 0 {
			continue
		}
		heap := uint64(wordCost)
		if ok {
			heap = 0
		}
		if !fs.ledger.charge(blockSize, heap) {
			return max(0, b*blockSize-off)
		}
		c.blocks[b/64] = word | bit
	}
	return n
}

// unmark returns the blocks from the keepth on. It needs mu.
func (c *content) unmark(fs *FS, keep int64) {
	var freed, words uint64
	for i, w := range c.blocks {
		left := w
		switch {
		case i*64 >= keep:
			left = 0
		case (i+1)*64 > keep:
			left = w & (1<<(keep-i*64) - 1)
		}
		freed += uint64(bits.OnesCount64(w &^ left))
		if left == 0 {
			delete(c.blocks, i)
			words++
		} else {
			c.blocks[i] = left
		}
	}
	fs.ledger.uncharge(freed*blockSize, words*wordCost)
}

// write writes bufs at off, or at the end, as much as there is space for.
func (c *content) write(fs *FS, bufs [][]byte, off int64, end bool) (int, int64, abi.Errno) {
	c.mu.Lock()
	defer c.mu.Unlock()
	node, h, errno := c.open(fs)
	if errno != abi.OK {
		return 0, 0, errno
	}
	if end {
		st, errno := node.Stat()
		if errno != abi.OK {
			return 0, 0, errno
		}
		off = st.Size
	}
	total := int64(0)
	for _, b := range bufs {
		total += int64(len(b))
	}
	if total == 0 {
		return 0, off, abi.OK
	}
	if off > maxSize-total {
		return 0, 0, abi.EFBIG
	}
	room := c.pay(fs, off, total)
	if room == 0 {
		return 0, 0, fs.full()
	}
	return h.WriteAt(clip(bufs, room), off)
}

// clip shortens bufs to n bytes.
func clip(bufs [][]byte, n int64) [][]byte {
	for i, b := range bufs {
		if int64(len(b)) > n {
			return append(append([][]byte(nil), bufs[:i]...), b[:n])
		}
		n -= int64(len(b))
	}
	return bufs
}

func (c *content) truncate(fs *FS, size int64) abi.Errno {
	if size > maxSize {
		return abi.EFBIG
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, h, errno := c.open(fs)
	if errno != abi.OK {
		return errno
	}
	if errno := h.Truncate(size); errno != abi.OK {
		return errno
	}
	c.unmark(fs, (size+blockSize-1)/blockSize)
	return abi.OK
}

// allocate charges a range, and has the host reserve it where it can.
func (c *content) allocate(fs *FS, off, n int64) abi.Errno {
	if off > maxSize-n {
		return abi.EFBIG
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, h, errno := c.open(fs)
	if errno != abi.OK {
		return errno
	}
	a, ok := h.(vfs.Allocator)
	if !ok {
		return abi.ENOTSUP
	}
	if !c.affordable(fs, off, n) {
		return fs.full()
	}
	if errno := a.Allocate(off, n); errno != abi.OK {
		return errno
	}
	if c.pay(fs, off, n) < n {
		return fs.full() // someone else took it in between; what was paid stays
	}
	return abi.OK
}

// affordable reports whether a range could be charged now. It needs mu.
func (c *content) affordable(fs *FS, off, n int64) bool {
	from, to := off/blockSize, (off+n-1)/blockSize+1
	need := uint64(to - from)
	for i, w := range c.blocks {
		for ; w != 0; w &= w - 1 {
			if b := i*64 + int64(bits.TrailingZeros64(w)); b >= from && b < to {
				need--
			}
		}
	}
	if !fs.ledger.charge(need*blockSize, need/64*wordCost) {
		return false
	}
	fs.ledger.uncharge(need*blockSize, need/64*wordCost)
	return true
}

// copyIn makes an object of the first size bytes of src. Blocks of zeros become
// holes. It needs fs.mu.
func (c *content) copyIn(fs *FS, src vfs.Node, size int64) abi.Errno {
	if errno := c.create(fs); errno != abi.OK {
		return errno
	}
	if size == 0 {
		return abi.OK
	}
	h, errno := src.Open(abi.ORead)
	if errno != abi.OK {
		return errno
	}
	defer func() { _ = h.Close() }() // only read
	buf := make([]byte, min(size, copyChunk))
	zero := make([]byte, blockSize)
	off := int64(0)
	for off < size {
		if fs.ledger.closed.Load() {
			return abi.EIO
		}
		n, errno := h.ReadAt([][]byte{buf[:min(int64(len(buf)), size-off)]}, off)
		if errno != abi.OK {
			return errno
		}
		if n == 0 {
			break
		}
		for at := 0; at < n; {
			// Up to the end of a block of the file.
			part := buf[at:min(n, at+blockSize-int((off+int64(at))%blockSize))]
			if !bytes.Equal(part, zero[:len(part)]) {
				if k, _, errno := c.write(fs, [][]byte{part}, off+int64(at), false); errno != abi.OK {
					return errno
				} else if k < len(part) {
					return abi.ENOSPC
				}
			}
			at += len(part)
		}
		off += int64(n)
	}
	return c.h.Truncate(off)
}
