package main

import (
	"fmt"
	"os"
	"unsafe"
)

//go:wasmimport agentos last_denial
func lastDenial(buf unsafe.Pointer, size uint32, length unsafe.Pointer) uint32

// reason returns what the kernel says of the last call that failed.
func reason(size int) string {
	buf := make([]byte, size+1)
	var n uint32
	if errno := lastDenial(unsafe.Pointer(&buf[0]), uint32(size), unsafe.Pointer(&n)); errno != 0 {
		return fmt.Sprintf("errno %d, %d bytes", errno, n)
	}
	return string(buf[:n])
}

// why asks after each of its arguments: "read:PATH" and "write:PATH" do that first.
func why(args []string) error {
	fmt.Println("first", reason(1000))
	for _, a := range args {
		op, path := a[:1], a[2:]
		if op == "r" {
			_, err := os.ReadFile(path)
			fmt.Print(err != nil, " ")
		} else {
			fmt.Print(os.WriteFile(path, nil, 0o666) != nil, " ")
		}
		fmt.Println(reason(1000))
	}
	fmt.Println("small", reason(3))
	return nil
}
