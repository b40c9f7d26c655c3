// Command hello does a little of everything that needs no files.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"time"
)

func main() {
	fmt.Println("args", len(os.Args), os.Args[1:])
	fmt.Println("env", os.Getenv("GREETING"))
	began := time.Now()
	time.Sleep(20 * time.Millisecond)
	fmt.Println("slept", time.Since(began) >= 20*time.Millisecond)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Printf("read %q %v\n", line, err)
	runtime.GC()
	if len(os.Args) > 1 && os.Args[1] == "panic" {
		explode(nil)
	}
	os.Exit(7)
}

//go:noinline
func explode(p *int) { *p = 1 }
