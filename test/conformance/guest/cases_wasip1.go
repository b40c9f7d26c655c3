package main

import (
	"os"
	"strings"
	"unsafe"
)

func (c *checker) process() {
	var count, size uint32
	c.is("args_sizes_get", argsSizesGet(ptr(&count), ptr(&size)), ok)
	c.that("args_sizes_get counts them", int(count) == len(os.Args), count)
	list, all := make([]uint32, count), make([]byte, size)
	c.is("args_get", argsGet(ptr(unsafe.SliceData(list)), ptr(unsafe.SliceData(all))), ok)
	c.that("args_get ends each with a NUL", strings.Count(string(all), "\x00") == int(count), string(all))
	c.is("args_get into nowhere", argsGet(outside(), outside()), eFault)
	c.is("args_sizes_get into nowhere", argsSizesGet(outside(), ptr(&size)), eFault)
	c.is("environ_sizes_get", environSizesGet(ptr(&count), ptr(&size)), ok)
	c.that("environ_sizes_get counts them", int(count) == len(os.Environ()), count)
	list, all = make([]uint32, count+1), make([]byte, size+1)
	c.is("environ_get", environGet(ptr(unsafe.SliceData(list)), ptr(unsafe.SliceData(all))), ok)
	c.is("environ_sizes_get into nowhere", environSizesGet(ptr(&count), outside()), eFault)

	b := make([]byte, 3<<20)
	c.is("random_get", randomGet(ptr(unsafe.SliceData(b)), int32(len(b))), ok)
	zero := 0
	for _, x := range b[len(b)-4096:] {
		if x == 0 {
			zero++
		}
	}
	c.that("random_get fills all of it", zero < 100, zero)
	c.is("random_get of nothing", randomGet(ptr(unsafe.SliceData(b)), 0), ok)
	c.is("random_get into nowhere", randomGet(outside(), 4096), eFault)
	c.is("sched_yield", schedYield(), ok)
	c.is("proc_raise of no signal", procRaise(99), eInval)
}

func (c *checker) clocksAndPoll() {
	var a, b uint64
	for id := int32(0); id < 4; id++ {
		c.is("clock_res_get", clockResGet(id, ptr(&a)), ok)
		c.that("clock_res_get is a step", a > 0, a)
		c.is("clock_time_get", clockTimeGet(id, 1, ptr(&a)), ok)
		c.is("clock_time_get again", clockTimeGet(id, 1, ptr(&b)), ok)
		c.that("clock_time_get goes on", b >= a, a, b)
	}
	c.is("clock_res_get of no clock", clockResGet(4, ptr(&a)), eInval)
	c.is("clock_time_get of no clock", clockTimeGet(-1, 0, ptr(&a)), eInval)
	c.is("clock_time_get into nowhere", clockTimeGet(0, 0, outside()), eFault)

	var count uint32
	events := make([]byte, 32*4)
	poll := func(subs ...[48]byte) uint32 {
		all := make([]byte, 0, 48*len(subs)+1)
		for _, s := range subs {
			all = append(all, s[:]...)
		}
		clear(events)
		return pollOneoff(ptr(unsafe.SliceData(all)), ptr(unsafe.SliceData(events)), int32(len(subs)), ptr(&count))
	}
	clock := func(user uint64, id uint32, timeout uint64, flags uint16) (s [48]byte) {
		le.PutUint64(s[0:], user)
		le.PutUint32(s[16:], id)
		le.PutUint64(s[24:], timeout)
		le.PutUint16(s[40:], flags)
		return s
	}
	on := func(user uint64, kind byte, fd uint32) (s [48]byte) {
		le.PutUint64(s[0:], user)
		s[8] = kind
		le.PutUint32(s[16:], fd)
		return s
	}
	c.is("poll_oneoff of nothing", poll(), eInval)
	clockTimeGet(1, 0, ptr(&a))
	c.is("poll_oneoff of two clocks", poll(clock(7, 1, 3_600_000_000_000, 0), clock(8, 1, 2_000_000, 0)), ok)
	clockTimeGet(1, 0, ptr(&b))
	c.that("poll_oneoff waits for the nearer", count == 1 && le.Uint64(events) == 8 && b-a >= 2_000_000, count, events[:16], b-a)
	c.is("poll_oneoff of an absolute clock", poll(clock(9, 1, b+3_600_000_000_000, 1), clock(10, 0, 0, 1)), ok)
	c.that("poll_oneoff finds the past at once", count == 1 && le.Uint64(events) == 10, count, events[:16])
	c.is("poll_oneoff of no clock", poll(clock(1, 77, 1, 0)), eInval)
	c.is("poll_oneoff of no descriptor", poll(on(3, 1, 999), clock(4, 1, 3_600_000_000_000, 0)), ok)
	c.that("poll_oneoff tells which", count == 1 && le.Uint64(events) == 3 && le.Uint16(events[8:]) == eBadf, count, events[:16])
	fd := c.file("polled")
	write(fd, "12345")
	var at uint64
	fdSeek(fd, 2, 0, ptr(&at))
	c.is("poll_oneoff of a file", poll(on(5, 1, uint32(fd)), on(6, 2, uint32(fd)), clock(4, 1, 3_600_000_000_000, 0)), ok)
	left := uint64(0)
	if c.left {
		left = 3
	}
	c.that("poll_oneoff tells what is left", count == 2 && le.Uint64(events[16:]) == left && events[32+10] == 2, count, events)
	c.is("poll_oneoff of standard output", poll(on(5, 2, 1)), ok)
	c.that("poll_oneoff tells that it can be written", count == 1 && le.Uint16(events[8:]) == ok, count, events[:32])
	fdClose(fd)
	unlink(c.dir, "polled")
}

func (c *checker) directories() {
	c.is("path_create_directory", mkdir(c.dir, "d"), ok)
	c.is("path_create_directory again", mkdir(c.dir, "d"), eExist)
	c.is("path_create_directory with a slash", mkdir(c.dir, "d/e/"), ok)
	c.is("path_create_directory of nothing", mkdir(c.dir, ""), eNoent)
	c.is("path_create_directory beneath nothing", mkdir(c.dir, "no/e"), eNoent)
	c.is("path_create_directory of a long name", mkdir(c.dir, repeat("n", 256)), eNametoolng)
	c.is("path_create_directory of a long path", mkdir(c.dir, repeat("n/", 3000)), eNametoolng)
	c.is("path_create_directory with a NUL", mkdir(c.dir, "a\x00b"), eInval)
	c.is("path_create_directory that is no text", mkdir(c.dir, "\xff"), eIlseq)
	c.is("path_create_directory from nowhere", pathCreateDirectory(c.dir, outside(), 100), eFault)
	c.is("path_create_directory on no descriptor", mkdir(77, "x"), eBadf)
	c.is("path_create_directory outside", mkdir(c.dir, "../../outside"), ePerm)
	c.is("path_create_directory absolute", mkdir(sub(c.dir, "d"), "/x"), ePerm)
	c.is("path_remove_directory that is not empty", rmdir(c.dir, "d"), eNotempty)
	c.is("path_remove_directory with slashes", rmdir(c.dir, "d/e///"), ok)
	fdClose(c.file("f"))
	c.is("path_remove_directory of a file", rmdir(c.dir, "f"), eNotdir)
	c.is("path_remove_directory of a file with a slash", rmdir(c.dir, "f/"), eNotdir)
	c.is("path_remove_directory of nothing", rmdir(c.dir, "no"), eNoent)
	c.is("path_remove_directory of itself", rmdir(c.dir, "d/."), eInval)
	c.is("path_unlink_file of a directory", unlink(c.dir, "d"), eIsdir)
	c.is("path_unlink_file of a directory with a slash", unlink(c.dir, "d/"), eIsdir)
	c.is("path_unlink_file of a file with a slash", unlink(c.dir, "f/"), eNotdir)
	c.is("path_unlink_file of nothing", unlink(c.dir, "no"), eNoent)
	c.is("path_unlink_file", unlink(c.dir, "f"), ok)
	c.is("path_remove_directory", rmdir(c.dir, "d"), ok)
}

// sub opens a directory with the rights that directories have.
func sub(dir int32, path string) int32 {
	fd, e := open(dir, path, oDirectory, rightsDir, rightsDir|rightsFile, 0)
	if e != ok {
		panic("cannot open " + path)
	}
	return fd
}

func (c *checker) files() {
	var n uint32
	var at uint64
	fd := c.file("f")
	v := buffers([]byte("hello "), nil, []byte("world"))
	c.is("fd_write of a vector", fdWrite(fd, v.at(), v.n(), ptr(&n)), ok)
	c.that("fd_write counts", n == 11, n)
	c.is("fd_tell", fdTell(fd, ptr(&at)), ok)
	c.that("fd_tell is behind what was written", at == 11, at)
	c.is("fd_seek to the beginning", fdSeek(fd, 0, 0, ptr(&at)), ok)
	both := make([]byte, 16)
	over := buffers(both[0:8], both[4:12]) // they overlap: the later wins
	c.is("fd_read into a vector that overlaps", fdRead(fd, over.at(), over.n(), ptr(&n)), ok)
	c.that("fd_read fills in order", n == 11 && string(both[:7]) == "hellrld", n, string(both))
	s, e := read(fd, 10)
	c.is("fd_read at the end", e, ok)
	c.that("fd_read at the end reads nothing", s == "", s)
	c.is("fd_seek before the beginning", fdSeek(fd, -1, 0, ptr(&at)), eInval)
	c.is("fd_seek from nowhere", fdSeek(fd, 0, 3, ptr(&at)), eInval)
	c.is("fd_seek from the end", fdSeek(fd, -5, 2, ptr(&at)), ok)
	c.that("fd_seek answers where it is", at == 6, at)
	c.is("fd_seek from here", fdSeek(fd, -2, 1, ptr(&at)), ok)
	c.is("fd_seek too far", fdSeek(fd, 1<<63-1, 1, ptr(&at)), eInval, 61)
	b := make([]byte, 4)
	v = buffers(b)
	c.is("fd_pread", fdPread(fd, v.at(), v.n(), 6, ptr(&n)), ok)
	c.that("fd_pread reads there", string(b[:n]) == "worl", string(b))
	c.is("fd_pwrite", fdPwrite(fd, v.at(), v.n(), 20, ptr(&n)), ok)
	c.is("fd_tell after both", fdTell(fd, ptr(&at)), ok)
	c.that("fd_pread and fd_pwrite leave the offset alone", at == 4, at)
	st, e := statFD(fd)
	c.is("fd_filestat_get", e, ok)
	c.that("fd_filestat_get tells the size", st.size == 24 && st.typ == typeRegular && st.nlink == 1, st)
	c.is("fd_pread before the beginning", fdPread(fd, v.at(), v.n(), -1, ptr(&n)), eInval)
	c.is("fd_pwrite before the beginning", fdPwrite(fd, v.at(), v.n(), -1, ptr(&n)), eInval)
	c.is("fd_read into nowhere", fdRead(fd, outside(), 1, ptr(&n)), eFault)
	bad := buffers(b)
	bad.pairs[0][0] = uint32(wild)
	c.is("fd_read into a buffer outside", fdRead(fd, bad.at(), 1, ptr(&n)), eFault)
	c.is("fd_write from a buffer outside", fdWrite(fd, bad.at(), 1, ptr(&n)), eFault)
	c.is("fd_write that cannot answer", fdWrite(fd, v.at(), 1, outside()), eFault)
	c.is("fd_write of too many", fdWrite(fd, v.at(), 1<<20, ptr(&n)), eInval, eFault)
	c.is("fd_filestat_set_size", fdFilestatSetSize(fd, 5), ok)
	c.is("fd_filestat_set_size below zero", fdFilestatSetSize(fd, -1), eInval)
	st, _ = statFD(fd)
	c.that("fd_filestat_set_size cuts", st.size == 5, st)
	c.is("fd_allocate", fdAllocate(fd, 3, 10), ok)
	st, _ = statFD(fd)
	c.that("fd_allocate lengthens", st.size == 13, st)
	c.is("fd_allocate within", fdAllocate(fd, 0, 5), ok)
	c.is("fd_allocate of nothing", fdAllocate(fd, 0, 0), eInval)
	c.is("fd_allocate before the beginning", fdAllocate(fd, -1, 5), eInval)
	c.is("fd_allocate too far", fdAllocate(fd, 1<<62, 1<<62), eFbig, eInval)
	for advice := int32(0); advice < 6; advice++ {
		c.is("fd_advise", fdAdvise(fd, 0, 10, advice), ok)
	}
	c.is("fd_advise of no advice", fdAdvise(fd, 0, 10, 6), eInval)
	c.is("fd_advise before the beginning", fdAdvise(fd, -1, 10, 0), eInval)
	c.is("fd_sync", fdSync(fd), ok)
	c.is("fd_datasync", fdDatasync(fd), ok)
	c.is("fd_fdstat_set_flags to append", fdFdstatSetFlags(fd, fAppend), ok)
	fdSeek(fd, 0, 0, ptr(&at))
	write(fd, "end")
	fdTell(fd, ptr(&at))
	c.that("fd_write appends", at == 16, at)
	fs, _ := fdstatOf(fd)
	c.that("fd_fdstat_get tells the flags", fs.flags == fAppend && fs.typ == typeRegular, fs)
	c.is("fd_fdstat_set_flags to nothing", fdFdstatSetFlags(fd, 0), ok)
	c.is("fd_fdstat_set_flags to what is none", fdFdstatSetFlags(fd, 1<<9), eInval)
	c.is("fd_fdstat_get into nowhere", fdFdstatGet(fd, outside()), eFault)
	c.is("fd_filestat_get into nowhere", fdFilestatGet(fd, outside()), eFault)
	c.is("path_unlink_file while it is open", unlink(c.dir, "f"), ok)
	st, e = statFD(fd)
	c.is("fd_filestat_get of what has no name", e, ok)
	c.that("fd_filestat_get tells that it has none", st.nlink == 0 && st.size == 16, st)
	_, e = write(fd, "more")
	c.is("fd_write to what has no name", e, ok)
	c.is("fd_close", fdClose(fd), ok)
	c.is("fd_close again", fdClose(fd), eBadf)
	_, e = open(c.dir, "g", oCreat|oExcl, rWrite|rStat, 0, fSync|fAppend)
	c.is("path_open to make it, to append and sync", e, ok)
	_, e = open(c.dir, "g", oCreat|oExcl, rWrite, 0, 0)
	c.is("path_open to make what is there", e, eExist)
	_, e = open(c.dir, "g", oDirectory, 0, 0, 0)
	c.is("path_open of a file as a directory", e, eNotdir)
	_, e = open(c.dir, "g/", 0, 0, 0, 0)
	c.is("path_open of a file with a slash", e, eNotdir)
	_, e = open(c.dir, "new/", oCreat, rWrite, 0, 0)
	c.is("path_open to make a file with a slash", e, eIsdir, eNoent)
	_, e = open(c.dir, "no", 0, 0, 0, 0)
	c.is("path_open of nothing", e, eNoent)
	_, e = open(c.dir, ".", oDirectory, rRead|rWrite, 0, 0)
	c.is("path_open of a directory to write", e, eIsdir)
	_, e = open(c.dir, "g", 16, 0, 0, 0)
	c.is("path_open with no such flag", e, eInval)
	_, e = open(c.dir, "g", 0, 0, 0, 32)
	c.is("path_open with no such descriptor flag", e, eInval)
	p, m := text("g")
	c.is("path_open with no such lookup", pathOpen(c.dir, 2, p, m, 0, 0, 0, 0, ptr(&n)), eInval)
	c.is("path_open that cannot answer", pathOpen(c.dir, 0, p, m, 0, 0, 0, 0, outside()), eFault)
	unlink(c.dir, "g")
}

func (c *checker) rights() {
	fd, e := open(c.dir, "r", oCreat, rRead|rStat, 0, 0)
	c.is("path_open to read", e, ok)
	st, _ := fdstatOf(fd)
	c.that("fd_fdstat_get tells the rights", st.base == rRead|rStat && st.inheriting == 0, st)
	_, e = write(fd, "x")
	c.is("fd_write without the right", e, eBadf)
	var at uint64
	c.is("fd_seek without the right", fdSeek(fd, 0, 0, ptr(&at)), eNotcapable)
	c.is("fd_tell without the right", fdTell(fd, ptr(&at)), eNotcapable)
	c.is("fd_sync without the right", fdSync(fd), eNotcapable)
	c.is("fd_datasync without the right", fdDatasync(fd), eNotcapable)
	c.is("fd_advise without the right", fdAdvise(fd, 0, 0, 0), eNotcapable)
	c.is("fd_allocate without the right", fdAllocate(fd, 0, 1), eNotcapable)
	c.is("fd_filestat_set_size without the right", fdFilestatSetSize(fd, 1), eNotcapable)
	c.is("fd_filestat_set_times without the right", fdFilestatSetTimes(fd, 0, 0, 1), eNotcapable)
	c.is("fd_fdstat_set_flags without the right", fdFdstatSetFlags(fd, 0), eNotcapable)
	c.is("fd_fdstat_set_rights to more", fdFdstatSetRights(fd, rRead|rStat|rWrite, 0), eNotcapable)
	c.is("fd_fdstat_set_rights to inherit more", fdFdstatSetRights(fd, rRead, rRead), eNotcapable)
	seeker, _ := open(c.dir, "r", 0, rSeek, 0, 0)
	c.is("fd_tell with the right to seek", fdTell(seeker, ptr(&at)), ok)
	fdClose(seeker)
	teller, _ := open(c.dir, "r", 0, rTell, 0, 0)
	c.is("fd_seek that moves nothing with the right to tell", fdSeek(teller, 0, 1, ptr(&at)), ok)
	c.is("fd_seek that moves with the right to tell", fdSeek(teller, 1, 1, ptr(&at)), eNotcapable)
	fdClose(teller)
	st, _ = fdstatOf(3)
	c.is("fd_fdstat_set_rights to what is not shown", fdFdstatSetRights(3, st.base|rSeek, st.inheriting), eNotcapable)
	c.is("fd_fdstat_set_rights to less", fdFdstatSetRights(fd, 0, 0), ok)
	_, e = read(fd, 1)
	c.is("fd_read without the right", e, eBadf)
	_, e = statFD(fd)
	c.is("fd_filestat_get without the right", e, eNotcapable)
	fdClose(fd)

	mkdir(c.dir, "rd")
	fd, e = open(c.dir, "rd", oDirectory, rOpen|rCreate, rRead|rCreate, 0)
	c.is("path_open of a directory with few rights", e, ok)
	_, e = open(fd, "x", oCreat, rRead, 0, 0)
	c.is("path_open beneath it", e, ok)
	_, e = open(fd, "x", 0, rWrite, 0, 0)
	c.is("path_open for more than is inherited", e, eNotcapable)
	_, e = open(fd, "x", 0, rRead, rWrite, 0)
	c.is("path_open to inherit more", e, eNotcapable)
	_, e = open(fd, "x", oTrunc, 0, 0, 0)
	c.is("path_open to truncate without the right", e, ePerm)
	_, e = statPath(fd, 0, "x")
	c.is("path_filestat_get without the right", e, eNotcapable)
	p, n := text("x")
	c.is("path_filestat_set_times without the right", pathFilestatSetTimes(fd, 0, p, n, 0, 0, 1), eNotcapable)
	c.is("path_unlink_file without the right", unlink(fd, "x"), eNotcapable)
	c.is("path_create_directory without the right", mkdir(fd, "y"), eNotcapable)
	c.is("path_remove_directory without the right", rmdir(fd, "y"), eNotcapable)
	c.is("path_symlink without the right", symlink("x", fd, "y"), eNotcapable)
	c.is("path_link from without the right", link(fd, 0, "x", c.dir, "y"), eNotcapable)
	c.is("path_link to without the right", link(c.dir, 0, "r", fd, "y"), eNotcapable)
	c.is("path_rename from without the right", rename(fd, "x", c.dir, "y"), eNotcapable)
	c.is("path_rename to without the right", rename(c.dir, "r", fd, "y"), eNotcapable)
	b := make([]byte, 100)
	var used uint32
	c.is("path_readlink without the right", pathReadlink(fd, p, n, ptr(unsafe.SliceData(b)), 100, ptr(&used)), eNotcapable)
	c.is("fd_readdir without the right", fdReaddir(fd, ptr(unsafe.SliceData(b)), 100, 0, ptr(&used)), eNotcapable)
	c.is("fd_fdstat_set_rights of no descriptor", fdFdstatSetRights(99, 0, 0), eBadf)
	fdClose(fd)
	unlink(c.dir, "rd/x")
	rmdir(c.dir, "rd")
	unlink(c.dir, "r")
}

func (c *checker) times() {
	fd := c.file("t")
	c.is("fd_filestat_set_times", fdFilestatSetTimes(fd, 1_000_000_007, 2_000_000_009, 1|4), ok)
	st, _ := statFD(fd)
	c.that("fd_filestat_set_times to the nanosecond", st.atim == 1_000_000_007 && st.mtim == 2_000_000_009, st)
	c.is("fd_filestat_set_times of one", fdFilestatSetTimes(fd, 5, 3_000_000_000, 4), ok)
	st, _ = statFD(fd)
	c.that("fd_filestat_set_times leaves the other", st.atim == 1_000_000_007 && st.mtim == 3_000_000_000, st)
	c.is("fd_filestat_set_times to two things", fdFilestatSetTimes(fd, 0, 0, 1|2), eInval)
	c.is("fd_filestat_set_times to two other things", fdFilestatSetTimes(fd, 0, 0, 4|8), eInval)
	c.is("fd_filestat_set_times with no such flag", fdFilestatSetTimes(fd, 0, 0, 16), eInval)
	c.is("fd_filestat_set_times to now", fdFilestatSetTimes(fd, 0, 0, 2|8), ok)
	st, _ = statFD(fd)
	c.that("fd_filestat_set_times knows what now is", st.mtim > 1e18 && st.atim == st.mtim, st)
	c.is("path_symlink", symlink("t", c.dir, "tl"), ok)
	p, n := text("tl")
	c.is("path_filestat_set_times of a link", pathFilestatSetTimes(c.dir, 0, p, n, 0, 77, 4), ok)
	c.is("path_filestat_set_times through it", pathFilestatSetTimes(c.dir, 1, p, n, 0, 88, 4), ok)
	l, _ := statPath(c.dir, 0, "tl")
	f, _ := statPath(c.dir, 1, "tl")
	c.that("path_filestat_get tells them apart", l.typ == typeSymlink && l.mtim == 77 && f.typ == typeRegular && f.mtim == 88, l, f)
	c.that("path_filestat_get and fd_filestat_get agree", f.ino == st.ino && f.dev == st.dev && f.ino != l.ino, f, st, l)
	c.is("path_filestat_set_times with no such lookup", pathFilestatSetTimes(c.dir, 2, p, n, 0, 0, 1), eInval)
	c.is("path_filestat_set_times to two things", pathFilestatSetTimes(c.dir, 0, p, n, 0, 0, 3), eInval)
	c.is("path_filestat_get into nowhere", pathFilestatGet(c.dir, 0, p, n, outside()), eFault)
	fdClose(fd)
	unlink(c.dir, "t")
	unlink(c.dir, "tl")
}
