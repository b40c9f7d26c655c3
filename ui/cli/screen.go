package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// screen is standard error as people read it: whole lines, with the tool's name
// before each, escaped, coloured on a terminal only. It is safe for concurrent
// use, so that progress and messages do not mix.
type screen struct {
	mu     sync.Mutex
	w      io.Writer
	tty    bool
	colour bool
	quiet  bool // notes are dropped; errors are not
	raw    bool // guarded by mu; the terminal does not go to the line's start by itself
	status string
	once   map[string]bool // what noteOnce has said
}

// newScreen makes a screen of standard error.
func newScreen(w io.Writer, lookup func(string) (string, bool)) *screen {
	s := &screen{w: w, tty: isTerminal(w)}
	noColour, _ := lookup("NO_COLOR")
	dumb, _ := lookup("TERM")
	s.colour = s.tty && noColour == "" && dumb != "dumb"
	return s
}

// isTerminal reports whether f, a reader or a writer, is a terminal.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok || file == nil {
		return false
	}
	is := false
	err := onFD(file, func(fd int) error {
		is = term.IsTerminal(fd)
		return nil
	})
	return err == nil && is // closed, it is none
}

// SGR codes.
const (
	red    = "31"
	yellow = "33"
	dim    = "2"
)

// note prints a line for people, unless --quiet.
func (s *screen) note(colour, line string) {
	if !s.quiet {
		s.line(colour, line)
	}
}

// noteOnce notes something that is missing, if it has not said so before. It is
// for the goroutine that runs the command.
func (s *screen) noteOnce(line string) {
	if s.once == nil {
		s.once = map[string]bool{}
	}
	if !s.once[line] {
		s.once[line] = true
		s.note(yellow, line)
	}
}

// fail prints an error. --quiet does not silence it.
func (s *screen) fail(err error) { s.line(red, err.Error()) }

func (s *screen) line(colour, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	head := "agentos:"
	if s.colour && colour != "" {
		head = "\x1b[" + colour + "m" + head + "\x1b[0m"
	}
	end := "\n"
	if s.raw {
		end = "\r\n"
	}
	// A closed standard error is the caller's wish not to read it.
	_, _ = fmt.Fprintf(s.w, "%s %s%s", head, printable(line), end)
}

// setRaw says whether standard error is a terminal in raw mode.
func (s *screen) setRaw(raw bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw = raw && s.tty
}

// progress shows a line that the next one, or done, replaces. It does nothing
// unless standard error is a terminal.
func (s *screen) progress(line string) {
	if !s.tty || s.quiet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	s.status = "agentos: " + printable(line)
	_, _ = io.WriteString(s.w, s.status) // only decoration
}

// done takes the progress line away.
func (s *screen) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func (s *screen) clear() {
	if s.status != "" {
		_, _ = io.WriteString(s.w, "\r\x1b[K") // only decoration
		s.status = ""
	}
}

// table prints rows in columns, two spaces apart; the last column is ragged.
func table(w io.Writer, rows [][]string) error {
	var width []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len([]rune(printable(c))))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		line := ""
		for i, c := range r {
			c = printable(c)
			line += c
			if i < len(r)-1 {
				line += strings.Repeat(" ", width[i]-len([]rune(c))+2)
			}
		}
		b.WriteString(strings.TrimRight(line, " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// formatBytes prints a number of bytes for people: exact below 1 KiB, else three
// significant digits in units of 1024.
func formatBytes(n uint64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for f >= 1023.5 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if f < 99.95 && f != float64(int(f)) {
		return fmt.Sprintf("%.1f %s", f, units[i])
	}
	return fmt.Sprintf("%.0f %s", f, units[i])
}
