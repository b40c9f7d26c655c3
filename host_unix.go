//go:build unix

package agentos

import (
	"os"

	"golang.org/x/sys/unix"
)

// openProgram opens a program for reading without waiting, whatever it has
// become since it was looked at.
func openProgram(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}
