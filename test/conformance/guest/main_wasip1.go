// Command guest calls the functions of WASI preview 1 by itself and checks what
// each answers. With an argument it does one thing that does not come back: exit
// CODE or raise SIGNAL. Else its arguments are "check", the name of a pre-opened
// directory that it may change, and perhaps "remote": its files are such that a poll
// does not ask how much is left of them.
//
// For each case it prints its function and its name, and what was wrong.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"
)

var le = binary.LittleEndian

func main() {
	switch os.Args[1] {
	case "exit":
		procExit(number(os.Args[2]))
	case "raise":
		fmt.Println("raise answered", procRaise(number(os.Args[2])))
		return
	}
	c := &checker{dir: preopened(os.Args[2]), left: len(os.Args) == 3}
	c.process()
	c.clocksAndPoll()
	c.directories()
	c.files()
	c.rights()
	c.times()
	c.links()
	c.renames()
	c.paths()
	c.listing()
	c.descriptors()
	c.sockets()
	if c.failed > 0 {
		os.Exit(1)
	}
}

func number(s string) int32 {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		panic(err)
	}
	return int32(n)
}

// checker makes the cases.
type checker struct {
	dir    int32 // where it may make files
	left   bool  // a poll tells what is left of them
	failed int
}

// is checks one answer. name is the function and what is tried.
func (c *checker) is(name string, got uint32, want ...uint32) bool {
	for _, w := range want {
		if got == w {
			fmt.Println("ok  ", name)
			return true
		}
	}
	c.failed++
	fmt.Printf("FAIL %s: errno %d, want %v\n", name, got, want)
	return false
}

// that checks something else than an error.
func (c *checker) that(name string, holds bool, got ...any) {
	if holds {
		fmt.Println("ok  ", name)
		return
	}
	c.failed++
	fmt.Println(append([]any{"FAIL", name + ": got"}, got...)...)
}

// text is a string as the interface takes one.
func text(s string) (ptr, int32) { return ptr(unsafe.StringData(s)), int32(len(s)) }

// outside is no address of the guest's memory.
func outside() ptr { return *(*ptr)(ptr(&wild)) }

var wild = uintptr(0xffff_fff0)

// vec is a list of buffers, in the interface's form.
type vec struct {
	pairs [][2]uint32
	keep  [][]byte
}

func buffers(bufs ...[]byte) *vec {
	v := &vec{keep: bufs, pairs: make([][2]uint32, len(bufs), len(bufs)+1)}
	for i, b := range bufs {
		v.pairs[i] = [2]uint32{uint32(uintptr(ptr(unsafe.SliceData(b)))), uint32(len(b))}
	}
	return v
}

func (v *vec) at() ptr  { return ptr(unsafe.SliceData(v.pairs[:cap(v.pairs)])) }
func (v *vec) n() int32 { return int32(len(v.pairs)) }

// preopened finds a pre-opened directory by its name.
func preopened(name string) int32 {
	for fd := int32(3); ; fd++ {
		var stat [8]byte
		if fdPrestatGet(fd, ptr(&stat)) != ok {
			panic("no pre-opened directory " + name)
		}
		b := make([]byte, le.Uint32(stat[4:]))
		if fdPrestatDirName(fd, ptr(unsafe.SliceData(b)), int32(len(b))) == ok && string(b) == name {
			return fd
		}
	}
}

// open opens a path of the directory with every right of its kind.
func open(dir int32, path string, oflags int32, base, inheriting uint64, fdflags int32) (int32, uint32) {
	var fd int32
	p, n := text(path)
	e := pathOpen(dir, 0, p, n, oflags, base, inheriting, fdflags, ptr(&fd))
	return fd, e
}

const (
	rightsFile = rDatasync | rRead | rSeek | rSetFlags | rSync | rTell | rWrite | rAdvise | rAllocate | rStat | rSetSize | rSetTimes | rPoll
	rightsDir  = rMkdir | rCreate | rLinkSource | rLinkTarget | rOpen | rReaddir | rReadlink | rRenameSource | rRenameTarget |
		rPathStat | rPathSetSize | rPathSetTimes | rStat | rSetTimes | rSymlink | rRmdir | rUnlink
)

// file opens a file for everything, making it.
func (c *checker) file(name string) int32 {
	fd, e := open(c.dir, name, oCreat, rightsFile, 0, 0)
	c.is("path_open to make "+name, e, ok)
	return fd
}

func write(fd int32, s string) (uint32, uint32) {
	var n uint32
	v := buffers([]byte(s))
	e := fdWrite(fd, v.at(), v.n(), ptr(&n))
	return n, e
}

func read(fd int32, n int) (string, uint32) {
	var got uint32
	b := make([]byte, n)
	v := buffers(b)
	e := fdRead(fd, v.at(), v.n(), ptr(&got))
	return string(b[:got]), e
}

func unlink(fd int32, path string) uint32 { p, n := text(path); return pathUnlinkFile(fd, p, n) }
func mkdir(fd int32, path string) uint32  { p, n := text(path); return pathCreateDirectory(fd, p, n) }
func rmdir(fd int32, path string) uint32  { p, n := text(path); return pathRemoveDirectory(fd, p, n) }

func symlink(target string, fd int32, path string) uint32 {
	t, m := text(target)
	p, n := text(path)
	return pathSymlink(t, m, fd, p, n)
}

func link(fd, flags int32, old string, newfd int32, name string) uint32 {
	p, n := text(old)
	q, m := text(name)
	return pathLink(fd, flags, p, n, newfd, q, m)
}

func rename(fd int32, old string, newfd int32, name string) uint32 {
	p, n := text(old)
	q, m := text(name)
	return pathRename(fd, p, n, newfd, q, m)
}

// stat is what the interface says of a file.
type stat struct {
	dev, ino, nlink, size, atim, mtim, ctim uint64
	typ                                     byte
}

func decodeStat(b [64]byte) stat {
	return stat{le.Uint64(b[0:]), le.Uint64(b[8:]), le.Uint64(b[24:]), le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:]), le.Uint64(b[56:]), b[16]}
}

func statPath(fd, flags int32, path string) (stat, uint32) {
	var b [64]byte
	p, n := text(path)
	e := pathFilestatGet(fd, flags, p, n, ptr(&b))
	return decodeStat(b), e
}

func statFD(fd int32) (stat, uint32) {
	var b [64]byte
	e := fdFilestatGet(fd, ptr(&b))
	return decodeStat(b), e
}

// fdstat is what the interface says of a descriptor.
type fdstat struct {
	typ              byte
	flags            uint16
	base, inheriting uint64
}

func fdstatOf(fd int32) (fdstat, uint32) {
	var b [24]byte
	e := fdFdstatGet(fd, ptr(&b))
	return fdstat{b[0], le.Uint16(b[2:]), le.Uint64(b[8:]), le.Uint64(b[16:])}, e
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }
