// Command files reads a directory and what is in it.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

func main() {
	entries, err := os.ReadDir("/")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	fmt.Println(strings.Join(names, " "))
	b, err := os.ReadFile("/a.txt")
	fmt.Println(string(b), err)
	b, err = os.ReadFile("/b.txt")
	fmt.Println(len(b), err)
	_, err = os.Open("/missing")
	fmt.Println("missing:", errors.Is(err, fs.ErrNotExist))
	if info, err := os.Stat("/a.txt"); err == nil {
		fmt.Println("size", info.Size())
	}
}
