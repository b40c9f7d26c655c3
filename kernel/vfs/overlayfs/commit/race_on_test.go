//go:build unix && race

package commit

const raceEnabled = true
