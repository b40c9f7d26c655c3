package main

import "fmt"

// endless never ends and never calls the kernel again, so that nothing but the
// kernel can end it.
func endless() int {
	fmt.Println("counting to infinity")
	for n := uint64(1); n != 0; n += 2 { // odd for ever, hence never zero
	}
	return 0
}
