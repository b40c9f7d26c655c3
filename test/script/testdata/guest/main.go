// Command guest is the program that the scripts run. Its first argument says
// what it does.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Println("hello")
		return
	}
	if err := do(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

var sink [][]byte

func do(what string, args []string) error {
	switch what {
	case "args":
		fmt.Printf("%q\n", args)
	case "env":
		for _, e := range os.Environ() {
			if !strings.HasPrefix(e, "PWD=") {
				fmt.Println(e)
			}
		}
	case "pwd":
		wd, err := os.Getwd()
		if err != nil {
			return err
		}
		fmt.Println(wd)
	case "exit":
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		os.Exit(n)
	case "cat":
		if len(args) == 0 {
			_, err := io.Copy(os.Stdout, os.Stdin)
			return err
		}
		for _, a := range args {
			b, err := os.ReadFile(a)
			if err != nil {
				return err
			}
			if _, err := os.Stdout.Write(b); err != nil {
				return err
			}
		}
	case "ls":
		list, err := os.ReadDir(args[0])
		if err != nil {
			return err
		}
		for _, e := range list {
			fmt.Println(e.Name())
		}
	case "write":
		return os.WriteFile(args[0], []byte(strings.Join(args[1:], " ")+"\n"), 0o644)
	case "rm":
		return os.RemoveAll(args[0])
	case "mkdir":
		return os.MkdirAll(args[0], 0o755)
	case "mv":
		return os.Rename(args[0], args[1])
	case "ln":
		return os.Link(args[0], args[1])
	case "escape": // a name and content that a terminal would obey
		return os.WriteFile(args[0]+"/\x1b[31mred", []byte("\x1b[31mred\n"), 0o644)
	case "big": // PATH WORD for many files, each the word 20,000 times
		for ; len(args) > 1; args = args[2:] {
			if err := os.WriteFile(args[0], []byte(strings.Repeat(args[1], 20_000)+"\n"), 0o644); err != nil {
				return err
			}
		}
	case "edit": // PATH CONTENT for many files, then an exit status
		for len(args) > 1 {
			if err := os.WriteFile(args[0], []byte(args[1]+"\n"), 0o644); err != nil {
				return err
			}
			args = args[2:]
		}
		if len(args) == 1 {
			return do("exit", args)
		}
	case "replace": // a file by a symbolic link
		if err := os.Remove(args[0]); err != nil {
			return err
		}
		return os.Symlink(args[1], args[0])
	case "try": // each path, and go on
		for _, a := range args {
			if _, err := os.ReadFile(a); err != nil {
				fmt.Println(err)
			}
		}
	case "fill": // n bytes into a file
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return os.WriteFile(args[0], make([]byte, n), 0o644)
	case "open": // n files at once
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		for range n {
			if _, err := os.Open(args[0]); err != nil {
				return err
			}
		}
	case "write-and-spin":
		if err := do("write", args); err != nil {
			return err
		}
		return do("spin", nil)
	case "spin":
		fmt.Println("ready")
		for i := uint64(0); ; i++ {
			if i == 1<<63 {
				fmt.Println(i)
			}
		}
	case "sleep":
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "eat":
		for {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			sink = append(sink, b)
		}
	case "flood":
		w := bufio.NewWriter(os.Stdout)
		for {
			if _, err := w.WriteString(strings.Repeat("x", 1023) + "\n"); err != nil {
				fmt.Fprintln(os.Stderr, "flood:", err)
				os.Exit(3)
			}
		}
	default:
		return fmt.Errorf("what is %q?", what)
	}
	return nil
}
