//go:build !race

package escape

// raced says that the race detector is on.
const raced = false
