// Command guest makes the calls of WASI preview 1 that its arguments spell, one an
// argument, and prints a line for each: the number of the error, and what came out.
//
// A call is words separated by spaces; a word in quotes is one of Go's string
// literals. A number N is a descriptor, and $N is the descriptor that call N of the
// list returned. "race ROUNDS CALL; CALL…" repeats calls and prints how often each
// answer came; "duel ROUNDS CALL; CALL" makes two calls by turns and prints how
// long each took.
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	m := &machine{}
	for i, line := range os.Args[1:] {
		m.line(i, line)
	}
}

// machine makes calls.
type machine struct {
	opened []int32 // by number of the call
}

func (m *machine) line(i int, line string) {
	w := words(line)
	switch w[0] {
	case "race":
		m.race(w[1:])
		m.opened = append(m.opened, -1)
		return
	case "duel":
		m.duel(w[1:])
		m.opened = append(m.opened, -1)
		return
	}
	a := m.call(w)
	m.opened = append(m.opened, a.fd)
	fmt.Printf("%d %d %s\n", i, a.errno, strconv.Quote(a.text))
}

// answer is what a call returned.
type answer struct {
	errno uint32
	fd    int32
	text  string
}

// words splits a line. Quoted words are unquoted.
func words(line string) (w []string) {
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if q, err := strconv.QuotedPrefix(line); err == nil {
			s, err := strconv.Unquote(q)
			if err != nil {
				panic(err)
			}
			w, line = append(w, s), line[len(q):]
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		w, line = append(w, word), rest
	}
	return w
}

// calls splits words into calls at ";".
func calls(w []string) (list [][]string) {
	for {
		i := slices.Index(w, ";")
		if i < 0 {
			return append(list, w)
		}
		list, w = append(list, w[:i]), w[i+1:]
	}
}

// race repeats calls. Within a round $0 is the first call's descriptor; what a
// round opened is closed after it.
func (m *machine) race(w []string) {
	rounds := number(w[0])
	list := calls(w[1:])
	seen := map[string]int{}
	for range rounds {
		r := &machine{}
		line := ""
		for _, c := range list {
			a := r.call(c)
			r.opened = append(r.opened, a.fd)
			line += fmt.Sprintf("%d %q ", a.errno, a.text)
		}
		for _, fd := range r.opened {
			if fd >= 0 {
				fdClose(fd)
			}
		}
		seen[line]++
	}
	for line, n := range seen {
		fmt.Printf("race %d %s\n", n, line)
	}
}

// duel makes two calls by turns and prints the time of each in ns, sorted.
func (m *machine) duel(w []string) {
	rounds := number(w[0])
	list := calls(w[1:])
	var times [2][]int64
	for i := range rounds {
		for j := range list {
			k := (int(i) + j) % 2 // who goes first has the colder cache
			begin := now()
			a := m.call(list[k])
			times[k] = append(times[k], now()-begin)
			if a.fd >= 0 {
				fdClose(a.fd)
			}
		}
	}
	for k := range times {
		fmt.Print("duel ", k)
		for _, t := range times[k] {
			fmt.Print(" ", t)
		}
		fmt.Println()
	}
}

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// fd reads a descriptor.
func (m *machine) fd(s string) int32 {
	if n, ok := strings.CutPrefix(s, "$"); ok {
		return m.opened[number(n)]
	}
	return int32(number(s))
}
