//go:build race

package statedir

const raceEnabled = true
