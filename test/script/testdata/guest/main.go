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
		return os.Remove(args[0])
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
