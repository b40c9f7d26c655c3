package agentos

import "os"

// openProgram opens a program for reading.
func openProgram(name string) (*os.File, error) { return os.Open(name) }
