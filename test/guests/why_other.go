//go:build !wasip1

package main

import "errors"

// why needs a kernel that can be asked.
func why([]string) error { return errors.New("only as a guest") }
