// Command guests is a program of many small behaviours for the tests to run as
// an untrusted guest. The first argument chooses one.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("which behaviour?"))
	}
	run, ok := behaviours[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("no behaviour %q", os.Args[1]))
	}
	if err := run(os.Args[2:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "guest:", err)
	os.Exit(1)
}

var behaviours = map[string]func([]string) error{
	"args":       func(a []string) error { fmt.Println(strings.Join(a, "|")); return nil },
	"env":        func([]string) error { fmt.Println(strings.Join(os.Environ(), "|")); return nil },
	"beat":       beat,
	"cat":        cat,
	"copy":       func([]string) error { _, err := io.Copy(os.Stdout, os.Stdin); return err },
	"cwd":        func([]string) error { d, err := os.Getwd(); fmt.Println(d); return err },
	"everything": everything,
	"exit":       exit,
	"fill":       fill,
	"meddle":     meddle,
	"forget":     forget,
	"gaze":       gaze,
	"hungry":     hungry,
	"insist":     insist,
	"repeat":     repeat,
	"ls":         ls,
	"mkdir":      func(a []string) error { return os.MkdirAll(a[0], 0o777) },
	"mv":         func(a []string) error { return os.Rename(a[0], a[1]) },
	"panic":      func([]string) error { panic("on purpose") },
	"probe":      probe,
	"records":    writeRecords,
	"rm":         func(a []string) error { return os.Remove(a[0]) },
	"serve":      serve,
	"shout":      shout,
	"sleep":      sleep,
	"spin":       func([]string) error { spin(); return nil },
	"stat":       stat,
	"walk":       walk,
	"why":        why,
	"write":      func(a []string) error { return os.WriteFile(a[0], []byte(a[1]), 0o666) },
}

// beat writes a line each time it wakes.
func beat(a []string) error {
	d, err := time.ParseDuration(a[0])
	if err != nil {
		return err
	}
	for {
		time.Sleep(d)
		if _, err := os.Stdout.WriteString("x\n"); err != nil {
			return err
		}
	}
}

func cat(paths []string) error {
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func exit(a []string) error {
	code, err := strconv.Atoi(a[0])
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

// fill writes to a file until it is refused.
func fill(a []string) error {
	f, err := os.Create(a[0])
	if err != nil {
		return err
	}
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = byte(i)
	}
	for n := 0; ; n += len(block) {
		if _, err := f.Write(block); err != nil {
			return fmt.Errorf("after %d bytes: %w", n, err)
		}
	}
}

// gaze reads the file a[0] over and over, through a descriptor that stays open, by its
// path, and by what a listing and its size tell, until a[1] exists. What it saw that
// it should not have is what holds "secret".
func gaze(a []string) error {
	f, err := os.Open(a[0])
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(a[0]))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var seen, refused, reopened, leaks int
	leak := func() {
		if leaks++; leaks == 1 {
			fmt.Println("a leak")
		}
	}
	note := func(b []byte, err error) {
		switch {
		case strings.Contains(string(b), "secret"):
			leak()
		case err != nil && !errors.Is(err, io.EOF):
			refused++
		case len(b) > 0:
			seen++
		}
	}
	buf := make([]byte, 64)
	for {
		if _, err := os.Stat(a[1]); err == nil {
			break
		}
		for range 20 {
			n, err := f.ReadAt(buf, 0)
			note(buf[:n], err)
			b, err := os.ReadFile(a[0])
			note(b, err)
			if st, err := f.Stat(); err == nil && st.Size() > 100 {
				leak()
			}
			if st, err := os.Stat(a[0]); err == nil && st.Size() > 100 {
				leak()
			}
			if g, err := os.Open(a[0]); err == nil {
				reopened++
				n, err := g.Read(buf)
				note(buf[:n], err)
				_ = g.Close() // only read from
			}
			if _, err := dir.Seek(0, io.SeekStart); err == nil {
				names, err := dir.Readdirnames(-1)
				note([]byte(strings.Join(names, " ")), err)
			}
		}
	}
	fmt.Printf("seen %t refused %t reopened %t leaks %d\n", seen > 0, refused > 0, reopened > 0, leaks)
	return nil
}

// insist changes what is in a[0] in every way there is, over and over, until a[1]
// exists: through a descriptor that stays open, and by making, renaming, and removing.
func insist(a []string) error {
	f, err := os.OpenFile(filepath.Join(a[0], "f"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var done, refused int
	for i := 0; ; i++ {
		if _, err := os.Stat(a[1]); err == nil {
			break
		}
		name := filepath.Join(a[0], strconv.Itoa(i))
		_, err1 := f.WriteAt([]byte(strconv.Itoa(i)), 0)
		for _, err := range []error{
			err1, f.Truncate(int64(i % 100)), os.WriteFile(name, []byte("x"), 0o666), os.Rename(name, name+"r"), os.Remove(name + "r"),
			os.Mkdir(name+"d", 0o777), os.Remove(name + "d"), os.Symlink("x", name+"l"), os.Remove(name + "l"), os.Chtimes(f.Name(), time.Unix(int64(i), 0), time.Unix(int64(i), 0)),
		} {
			if err != nil {
				refused++
			} else {
				done++
			}
		}
	}
	fmt.Printf("done %t refused %t\n", done > 0, refused > 0)
	return nil
}

// forget opens files until that is refused, closes none, and ends well.
func forget(a []string) error {
	var open []*os.File
	for {
		f, err := os.Create(filepath.Join(a[0], strconv.Itoa(len(open))))
		if err != nil {
			fmt.Println(len(open), err)
			return nil
		}
		open = append(open, f)
	}
}

// repeat does the same things in some directories several times over, whether it may
// or not, and says how each went.
func repeat(dirs []string) error {
	said := func(what string, err error) {
		var e *fs.PathError
		if errors.As(err, &e) {
			err = e.Err
		}
		fmt.Println(what, err)
	}
	names := []string{"a", "new", "secret", "secret/key", ".git/hooks/x", ".git", ".bashrc", "ro/a", "ro/new", "missing/a", "../a", "link"}
	for range 4 {
		for _, d := range dirs {
			for _, n := range names {
				p := d + "/" + n
				b, err := os.ReadFile(p)
				said("read "+p+" "+string(b), err)
				said("write "+p, os.WriteFile(p, []byte(n), 0o666))
				_, err = os.Lstat(p)
				said("stat "+p, err)
				said("move "+p, os.Rename(p, p+"2"))
				said("move back "+p, os.Rename(p+"2", p))
				said("mkdir "+p, os.Mkdir(p, 0o777))
				list, err := os.ReadDir(p)
				said(fmt.Sprint("list ", p, " ", list), err)
				if n == "new" || n == "ro/new" || n == ".git" {
					said("remove "+p, os.Remove(p))
				}
			}
			list, err := os.ReadDir(d)
			said(fmt.Sprint("list ", d, " ", list), err)
		}
	}
	return nil
}

// hungry takes memory for ever.
func hungry([]string) error {
	var held [][]byte
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		held = append(held, b)
		if len(held)%64 == 0 {
			fmt.Println(len(held), "MiB")
		}
	}
}

func ls(paths []string) error {
	for _, p := range paths {
		entries, err := os.ReadDir(p)
		if err != nil {
			return err
		}
		for _, e := range entries {
			fmt.Println(e.Name())
		}
	}
	return nil
}

// probe tries to read, list, and change each path, and prints what it could do.
func probe(paths []string) error {
	for _, p := range paths {
		var did []string
		if f, err := os.Open(p); err == nil {
			did = append(did, "open")
			if _, err := f.Read(make([]byte, 1)); err == nil {
				did = append(did, "read")
			}
			if _, err := f.ReadDir(1); err == nil {
				did = append(did, "list")
			}
			if err := f.Close(); err != nil {
				return err
			}
		}
		if _, err := os.Lstat(p); err == nil {
			did = append(did, "stat")
		}
		if f, err := os.OpenFile(p, os.O_WRONLY, 0); err == nil {
			did = append(did, "write")
			if err := f.Close(); err != nil {
				return err
			}
		}
		if f, err := os.OpenFile(filepath.Join(p, "agentos-probe"), os.O_WRONLY|os.O_CREATE, 0o666); err == nil {
			did = append(did, "create")
			if err := f.Close(); err != nil {
				return err
			}
		}
		if len(did) > 0 {
			fmt.Println(p, strings.Join(did, ","))
		}
	}
	return nil
}

// shout writes for ever.
func shout([]string) error {
	line := []byte(strings.Repeat("a", 4095) + "\n")
	for {
		if _, err := os.Stdout.Write(line); err != nil {
			return err
		}
	}
}

func sleep(a []string) error {
	d, err := time.ParseDuration(a[0])
	if err != nil {
		return err
	}
	fmt.Println("sleeping")
	time.Sleep(d)
	fmt.Println("awake")
	return nil
}

//go:noinline
func spin() {
	for i := uint32(1); i != 0; i += 2 { // never 0: it stays odd
	}
}

func stat(paths []string) error {
	for _, p := range paths {
		fi, err := os.Lstat(p)
		if err != nil {
			return err
		}
		fmt.Println(fi.Name(), fi.Size(), fi.Mode().Type())
	}
	return nil
}

func walk(a []string) error {
	return filepath.WalkDir(a[0], func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Println(p)
		return nil
	})
}

// everything makes one operation of each kind in each directory.
func everything(dirs []string) error {
	if _, err := io.ReadAll(os.Stdin); err != nil {
		return err
	}
	for _, d := range dirs {
		p := func(name string) string { return filepath.Join(d, name) }
		steps := []func() error{
			func() error { return os.WriteFile(p("a"), []byte("text"), 0o666) },
			func() error { _, err := os.ReadFile(p("a")); return err },
			func() error { return os.Truncate(p("a"), 2) },
			func() error { return os.Chtimes(p("a"), time.Now(), time.Now()) },
			func() error { return os.Rename(p("a"), p("b")) },
			func() error { return os.Link(p("b"), p("c")) },
			func() error { return os.Symlink("b", p("l")) },
			func() error { _, err := os.Readlink(p("l")); return err },
			func() error { _, err := os.Stat(p("l")); return err },
			func() error { return os.Mkdir(p("d"), 0o777) },
			func() error { _, err := os.ReadDir(d); return err },
			func() error {
				for _, n := range []string{"b", "c", "l", "d"} {
					if err := os.Remove(p(n)); err != nil {
						return err
					}
				}
				return nil
			},
			func() error { _, err := os.Open(p("missing")); return expect(err, fs.ErrNotExist) },
			func() error { _, err := os.Open("/nowhere/at/all"); return expect(err, fs.ErrNotExist) },
		}
		for i, f := range steps {
			if err := f(); err != nil {
				return fmt.Errorf("%s, step %d: %w", d, i, err)
			}
		}
	}
	time.Sleep(time.Millisecond)
	fmt.Println("done")
	return nil
}

func expect(got, want error) error {
	if errors.Is(got, want) {
		return nil
	}
	return fmt.Errorf("got %v, want %v", got, want)
}

// meddle tries to write each of the files, and minds nothing.
func meddle(names []string) error {
	for _, n := range names {
		if err := os.WriteFile(n, []byte("x"), 0o666); err == nil {
			fmt.Println("wrote", n)
		}
	}
	return nil
}
