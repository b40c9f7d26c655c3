package main

import (
	"fmt"
	"unsafe"
)

func (c *checker) links() {
	fd := c.file("a")
	write(fd, "content")
	c.is("path_link", link(c.dir, 0, "a", c.dir, "b"), ok)
	a, _ := statPath(c.dir, 0, "a")
	b, _ := statPath(c.dir, 0, "b")
	c.that("path_link gives the same file another name", a.ino == b.ino && a.nlink == 2, a, b)
	c.is("path_link onto what is there", link(c.dir, 0, "a", c.dir, "b"), eExist)
	c.is("path_link onto itself", link(c.dir, 0, "a", c.dir, "a"), eExist)
	c.is("path_link of nothing", link(c.dir, 0, "no", c.dir, "n"), eNoent)
	c.is("path_link with a slash", link(c.dir, 0, "a", c.dir, "n/"), eNoent)
	mkdir(c.dir, "d")
	c.is("path_link of a directory", link(c.dir, 0, "d", c.dir, "n"), ePerm)
	c.is("path_link onto a directory", link(c.dir, 0, "a", c.dir, "d"), eExist)
	c.is("path_link with no such lookup", link(c.dir, 2, "a", c.dir, "n"), eInval)
	c.is("path_link out of it", link(c.dir, 0, "a", c.dir, "../../n"), ePerm)
	fdClose(fd)
	unlink(c.dir, "b")

	c.is("path_symlink", symlink("a", c.dir, "s"), ok)
	c.is("path_symlink onto what is there", symlink("a", c.dir, "s"), eExist)
	c.is("path_symlink to nothing", symlink("", c.dir, "n"), eNoent)
	c.is("path_symlink with a slash", symlink("a", c.dir, "n/"), eNoent)
	c.is("path_symlink onto a file with a slash", symlink("x", c.dir, "a/"), eNotdir)
	c.is("path_symlink onto a directory with a slash", symlink("x", c.dir, "d/"), eExist)
	c.is("path_symlink to where it could never lead", symlink("/", sub(c.dir, "d"), "n"), ePerm)
	c.is("path_symlink that dangles", symlink("nowhere", c.dir, "dangling"), ok)
	c.is("path_symlink out of it", symlink("../../../etc/passwd", c.dir, "out"), ok)
	c.is("path_symlink to itself", symlink("loop", c.dir, "loop"), ok)
	c.is("path_symlink to a link", symlink("s", c.dir, "chain"), ok)
	c.is("path_symlink to a directory", symlink("d", c.dir, "sd"), ok)
	buf := make([]byte, 8)
	var used uint32
	p, n := text("dangling")
	c.is("path_readlink", pathReadlink(c.dir, p, n, ptr(unsafe.SliceData(buf)), 8, ptr(&used)), ok)
	c.that("path_readlink tells the target", string(buf[:used]) == "nowhere" && buf[7] == 0, string(buf))
	c.is("path_readlink into little", pathReadlink(c.dir, p, n, ptr(unsafe.SliceData(buf)), 3, ptr(&used)), ok)
	c.that("path_readlink cuts", used == 3, used)
	q, m := text("a")
	c.is("path_readlink of a file", pathReadlink(c.dir, q, m, ptr(unsafe.SliceData(buf)), 8, ptr(&used)), eInval)
	c.is("path_readlink into nowhere", pathReadlink(c.dir, p, n, outside(), 80, ptr(&used)), eFault)

	follow := func(path string, oflags int32) uint32 {
		var fd int32
		p, n := text(path)
		e := pathOpen(c.dir, 1, p, n, oflags, rRead, 0, 0, ptr(&fd))
		if e == ok {
			fdClose(fd)
		}
		return e
	}
	_, e := open(c.dir, "s", 0, rRead, 0, 0)
	c.is("path_open of a link that is not followed", e, eLoop)
	_, e = open(c.dir, "sd", oDirectory, 0, 0, 0)
	c.is("path_open of a link to a directory, not followed", e, eLoop, eNotdir)
	c.is("path_open through a link", follow("s", 0), ok)
	c.is("path_open through two", follow("chain", 0), ok)
	c.is("path_open through one to a directory", follow("sd", oDirectory), ok)
	c.is("path_open through one to a file, as a directory", follow("s", oDirectory), eNotdir)
	c.is("path_open through one that dangles", follow("dangling", 0), eNoent)
	c.is("path_open through a circle", follow("loop", 0), eLoop)
	c.is("path_open through one that leads out", follow("out", 0), ePerm)
	c.is("path_open through one in the middle", follow("sd/../a", 0), ok)
	c.is("path_open makes what a link dangles at", follow("dangling", oCreat), ok)
	c.is("path_unlink_file of what was made", unlink(c.dir, "nowhere"), ok)
	c.is("path_link of a link", link(c.dir, 0, "dangling", c.dir, "d2"), ok)
	st, _ := statPath(c.dir, 0, "d2")
	c.that("path_link gives the link another name", st.typ == typeSymlink && st.nlink == 2, st)
	c.is("path_link through one that dangles", link(c.dir, 1, "dangling", c.dir, "d3"), eNoent)
	for _, name := range []string{"s", "dangling", "out", "loop", "chain", "sd", "d2", "a"} {
		c.is("path_unlink_file of "+name, unlink(c.dir, name), ok)
	}
	rmdir(c.dir, "d")
}

func (c *checker) renames() {
	fdClose(c.file("f"))
	fdClose(c.file("g"))
	mkdir(c.dir, "d")
	mkdir(c.dir, "e")
	mkdir(c.dir, "e/full")
	c.is("path_rename", rename(c.dir, "f", c.dir, "h"), ok)
	c.is("path_rename of nothing", rename(c.dir, "f", c.dir, "x"), eNoent)
	c.is("path_rename onto a file", rename(c.dir, "h", c.dir, "g"), ok)
	c.is("path_rename onto itself", rename(c.dir, "g", c.dir, "g"), ok)
	c.is("path_rename of a file onto a directory", rename(c.dir, "g", c.dir, "d"), eIsdir)
	c.is("path_rename of a directory onto a file", rename(c.dir, "d", c.dir, "g"), eNotdir)
	c.is("path_rename of a directory onto a full one", rename(c.dir, "d", c.dir, "e"), eNotempty, eExist)
	c.is("path_rename of a directory into itself", rename(c.dir, "e", c.dir, "e/full/x"), eInval)
	c.is("path_rename onto an empty directory", rename(c.dir, "d", c.dir, "e/full"), ok)
	c.is("path_rename with slashes", rename(c.dir, "e/full/", c.dir, "d/"), ok)
	c.is("path_rename of a file with a slash", rename(c.dir, "g/", c.dir, "x"), eNotdir)
	c.is("path_rename of a file to a slash", rename(c.dir, "g", c.dir, "x/"), eNotdir, eNoent)
	sub := sub(c.dir, "d")
	c.is("path_rename to another descriptor", rename(c.dir, "g", sub, "g"), ok)
	c.is("path_rename out of it", rename(sub, "g", sub, "../g"), ePerm)
	c.is("path_rename onto no descriptor", rename(sub, "g", 99, "g"), eBadf)
	fdClose(sub)
	unlink(c.dir, "d/g")
	rmdir(c.dir, "d")
	rmdir(c.dir, "e")
}

func (c *checker) paths() {
	mkdir(c.dir, "d")
	mkdir(c.dir, "d/n")
	fdClose(c.file("d/n/f"))
	d := sub(c.dir, "d")
	for path, want := range map[string]uint32{
		"n/f": ok, "./n//f": ok, "n/./../n/f": ok, "n/": ok, "n///": ok, ".": ok, "n/..": ok, "./": ok,
		"n/f/": eNotdir, "n/f/x": eNotdir, "n/f/..": eNotdir, "no/../n": eNoent, "": eNoent,
		"..": ePerm, "n/../..": ePerm, "../d/n": ePerm, "/": ePerm, "/d/n/f": ePerm, "/../d": ePerm,
		"n/f\x00": eInval, "\x00": eInval, "n\xff": eIlseq,
		repeat("x", 255): eNoent, repeat("x", 256): eNametoolng, repeat("n/../", 800) + "n": ok, repeat("x/", 2048) + "x": eNametoolng,
	} {
		_, e := statPath(d, 0, path)
		if len(path) > 20 {
			path = path[:20] + "…"
		}
		c.is(fmt.Sprintf("path_filestat_get of %q", path), e, want)
	}
	fdClose(d)
	file := c.file("plain")
	for name, e := range map[string]uint32{
		"path_create_directory": mkdir(file, "x"), "path_remove_directory": rmdir(file, "x"), "path_unlink_file": unlink(file, "x"),
		"path_symlink": symlink("x", file, "x"), "path_link": link(file, 0, "x", c.dir, "y"), "path_rename": rename(c.dir, "plain", file, "y"),
	} {
		c.is(name+" on a file", e, eNotdir)
	}
	_, e := open(file, "x", oCreat, 0, 0, 0)
	c.is("path_open on a file", e, eNotdir)
	_, e = statPath(file, 0, "x")
	c.is("path_filestat_get on a file", e, eNotdir)
	fdClose(file)
	unlink(c.dir, "plain")
	unlink(c.dir, "d/n/f")
	rmdir(c.dir, "d/n")
	rmdir(c.dir, "d")
}

func (c *checker) listing() {
	mkdir(c.dir, "l")
	dir := sub(c.dir, "l")
	const files = 300
	for i := range files {
		fdClose(c.quiet(fmt.Sprintf("l/f%03d", i)))
	}
	seen := map[string]int{}
	buf := make([]byte, 200) // entries are cut off at its end
	var cookie uint64
	var used uint32
	for {
		if e := fdReaddir(dir, ptr(unsafe.SliceData(buf)), int32(len(buf)), int64(cookie), ptr(&used)); e != ok {
			c.is("fd_readdir", e, ok)
			return
		}
		for b := buf[:used]; len(b) >= 24; {
			n := int(le.Uint32(b[16:]))
			if len(b) < 24+n {
				break
			}
			cookie = le.Uint64(b)
			seen[string(b[24:24+n])]++
			b = b[24+n:]
		}
		if int(used) < len(buf) {
			break
		}
	}
	once := len(seen) == files+2
	for _, n := range seen {
		once = once && n == 1
	}
	c.that("fd_readdir lists each entry once", once && seen["."] == 1 && seen[".."] == 1, len(seen))
	c.is("fd_readdir into nothing", fdReaddir(dir, ptr(unsafe.SliceData(buf)), 0, 0, ptr(&used)), ok)
	c.is("fd_readdir into little", fdReaddir(dir, ptr(unsafe.SliceData(buf)), 10, 0, ptr(&used)), ok)
	c.that("fd_readdir cuts an entry", used == 10, used)
	c.is("fd_readdir into nowhere", fdReaddir(dir, outside(), 100, 0, ptr(&used)), eFault)
	c.is("fd_readdir", fdReaddir(dir, ptr(unsafe.SliceData(buf)), 100, 0, ptr(&used)), ok)
	st, _ := statFD(dir)
	c.that("fd_readdir begins with the directory itself", le.Uint64(buf[8:]) == st.ino && buf[20] == typeDirectory && string(buf[24:25]) == ".", buf[:25])
	f := c.file("l/f000")
	c.is("fd_readdir of a file", fdReaddir(f, ptr(unsafe.SliceData(buf)), 100, 0, ptr(&used)), eNotcapable, eNotdir)
	fdClose(f)
	for i := range files {
		unlink(c.dir, fmt.Sprintf("l/f%03d", i))
	}
	fdClose(dir)
	c.is("path_remove_directory of what was listed", rmdir(c.dir, "l"), ok)
}

// quiet makes a file without a line about it.
func (c *checker) quiet(name string) int32 {
	fd, e := open(c.dir, name, oCreat, rRead, 0, 0)
	if e != ok {
		c.is("path_open to make "+name, e, ok)
	}
	return fd
}

func (c *checker) descriptors() {
	var n uint32
	var at uint64
	v := buffers(make([]byte, 10))
	dir := sub(c.dir, ".")
	c.is("fd_read of a directory", fdRead(dir, v.at(), v.n(), ptr(&n)), eBadf, eIsdir)
	c.is("fd_pread of a directory", fdPread(dir, v.at(), v.n(), 0, ptr(&n)), eBadf, eIsdir)
	c.is("fd_write of a directory", fdWrite(dir, v.at(), v.n(), ptr(&n)), eBadf, eIsdir)
	c.is("fd_pwrite of a directory", fdPwrite(dir, v.at(), v.n(), 0, ptr(&n)), eBadf, eIsdir)
	c.is("fd_seek of a directory", fdSeek(c.dir, 0, 0, ptr(&at)), eBadf)
	c.is("fd_tell of a directory", fdTell(c.dir, ptr(&at)), eBadf)
	c.is("fd_allocate of a directory", fdAllocate(c.dir, 0, 0), eBadf)
	c.is("fd_filestat_set_size of a directory", fdFilestatSetSize(c.dir, 0), eBadf, eInval, eIsdir)
	c.is("fd_seek of standard output", fdSeek(1, 0, 0, ptr(&at)), eSpipe)
	c.is("fd_pwrite of standard output", fdPwrite(1, v.at(), v.n(), 0, ptr(&n)), eSpipe)
	c.is("fd_read of standard output", fdRead(1, v.at(), v.n(), ptr(&n)), eBadf)
	c.is("fd_write of standard input", fdWrite(0, v.at(), v.n(), ptr(&n)), eBadf)
	var stat [8]byte
	c.is("fd_prestat_get of what is not pre-opened", fdPrestatGet(dir, ptr(&stat)), eBadf)
	c.is("fd_prestat_dir_name of what is not pre-opened", fdPrestatDirName(dir, ptr(&stat), 8), eBadf)
	c.is("fd_prestat_dir_name into little", fdPrestatDirName(c.dir, ptr(&stat), 0), eNametoolng, eInval)
	c.is("fd_prestat_get into nowhere", fdPrestatGet(c.dir, outside()), eFault)
	a, b := c.file("a"), c.file("b")
	ino, _ := statFD(a)
	c.is("fd_renumber", fdRenumber(a, b), ok)
	now, _ := statFD(b)
	c.that("fd_renumber moves the file", now.ino == ino.ino, now, ino)
	c.is("fd_renumber leaves the number free", fdClose(a), eBadf)
	c.is("fd_renumber onto itself", fdRenumber(b, b), ok)
	c.is("fd_renumber of no descriptor", fdRenumber(a, b), eBadf)
	c.is("fd_renumber onto no descriptor", fdRenumber(b, 999), eBadf)
	fdClose(b)
	for name, e := range map[string]uint32{
		"fd_close": fdClose(99), "fd_sync": fdSync(99), "fd_datasync": fdDatasync(-1), "fd_advise": fdAdvise(99, 0, 0, 0),
		"fd_allocate": fdAllocate(99, 0, 1), "fd_fdstat_get": fdFdstatGet(99, ptr(&stat)), "fd_fdstat_set_flags": fdFdstatSetFlags(99, 0),
		"fd_filestat_set_size": fdFilestatSetSize(99, 0), "fd_filestat_set_times": fdFilestatSetTimes(99, 0, 0, 1),
		"fd_pread": fdPread(99, v.at(), v.n(), 0, ptr(&n)), "fd_read": fdRead(99, v.at(), v.n(), ptr(&n)), "fd_write": fdWrite(99, v.at(), v.n(), ptr(&n)),
		"fd_seek": fdSeek(99, 0, 0, ptr(&at)), "fd_tell": fdTell(99, ptr(&at)), "fd_prestat_get": fdPrestatGet(99, ptr(&stat)),
	} {
		if name == "fd_fdstat_get" {
			_, e = fdstatOf(99)
		}
		c.is(name+" of no descriptor", e, eBadf)
	}
	unlink(c.dir, "a")
	unlink(c.dir, "b")
	fdClose(dir)
	opened := map[int32]bool{}
	for range 50 {
		fd, e := open(c.dir, ".", oDirectory, 0, 0, fNonblock)
		if e != ok {
			c.is("path_open of the directory itself", e, ok)
			break
		}
		opened[fd] = true
	}
	c.that("path_open gives numbers of their own", len(opened) == 50, len(opened))
	for fd := range opened {
		fdClose(fd)
	}
}

func (c *checker) sockets() {
	var n uint32
	v := buffers(make([]byte, 4))
	file := c.file("s")
	for what, fd := range map[string]int32{"no descriptor": 99, "a pre-opened directory": 3, "standard output": 1, "a file": file} {
		want := uint32(eNotsock)
		if fd == 99 || fd == 3 {
			want = eBadf
		}
		c.is("sock_accept of "+what, sockAccept(fd, 0, ptr(&n)), want)
		c.is("sock_recv of "+what, sockRecv(fd, v.at(), v.n(), 0, ptr(&n), ptr(&n)), want)
		c.is("sock_send of "+what, sockSend(fd, v.at(), v.n(), 0, ptr(&n)), want)
		c.is("sock_shutdown of "+what, sockShutdown(fd, 1), want)
	}
	c.is("sock_shutdown with no such direction", sockShutdown(1, 4), eInval)
	c.is("sock_accept with no such flag", sockAccept(1, 64, ptr(&n)), eInval)
	c.is("sock_recv with no such flag", sockRecv(1, v.at(), v.n(), 4, ptr(&n), ptr(&n)), eInval)
	c.is("sock_send with no such flag", sockSend(1, v.at(), v.n(), 1, ptr(&n)), eInval)
	fdClose(file)
	unlink(c.dir, "s")
}
