// Command files does one kind of work on files and prints how long it took, in
// nanoseconds, so that starting the program is not part of the figure:
//
//	files walk DIR        walk a tree
//	files read FILE       read it to its end in pieces of 64 KiB
//	files write FILE N    write N bytes in pieces of 64 KiB
//	files open FILE N     open and close it N times
package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const piece = 64 << 10

func main() {
	began := time.Now()
	n, err := work(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(n, time.Since(began).Nanoseconds())
}

func work(args []string) (n int64, err error) {
	var amount int64
	if len(args) > 2 {
		if amount, err = strconv.ParseInt(args[2], 10, 64); err != nil {
			return 0, err
		}
	}
	switch args[0] {
	case "walk":
		err = filepath.WalkDir(args[1], func(_ string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			n++
			_, err = e.Info()
			return err
		})
		return n, err
	case "read":
		f, err := os.Open(args[1])
		if err != nil {
			return 0, err
		}
		defer f.Close()
		buf := make([]byte, piece)
		for {
			k, err := f.Read(buf)
			n += int64(k)
			if err == io.EOF {
				return n, nil
			}
			if err != nil {
				return n, err
			}
		}
	case "write":
		f, err := os.Create(args[1])
		if err != nil {
			return 0, err
		}
		buf := make([]byte, piece)
		for n < amount {
			k, err := f.Write(buf)
			n += int64(k)
			if err != nil {
				return n, err
			}
		}
		return n, f.Close()
	case "open":
		for ; n < amount; n++ {
			f, err := os.Open(args[1])
			if err != nil {
				return n, err
			}
			if err := f.Close(); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	return 0, fmt.Errorf("files: no such work: %s", args[0])
}
