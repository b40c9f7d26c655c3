//go:build !race

package agentos_test

// raceEnabled reports whether the race detector is compiled in.
const raceEnabled = false
