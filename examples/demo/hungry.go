package main

import "fmt"

// hungry takes memory and keeps it until it is refused more.
func hungry() int {
	const chunk = 1 << 20
	var held [][]byte
	for {
		b := make([]byte, chunk)
		for i := 0; i < len(b); i += 4096 {
			b[i] = byte(i) // touched: memory that is only reserved feeds nobody
		}
		held = append(held, b)
		if len(held)%16 == 0 {
			fmt.Printf("holding %d MiB\n", len(held))
		}
	}
}
