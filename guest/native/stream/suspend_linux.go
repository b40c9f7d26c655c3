package stream

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// disabled is the control character that stands for none.
const disabled = 0

// stopAt returns where in b the terminal's stop character stands, if the program
// is one that it should stop, else -1.
//
// The line discipline sends SIGTSTP to the group in the foreground, and that
// stops the jobs of a shell inside, which is their parent in the same session.
// The program itself has no parent in its session: its group is orphaned, and the
// kernel then drops the default action of SIGTSTP, since nobody could continue
// the group. So that is left to us: we do what the caller's terminal would have
// done if the program had been started on it.
func (sc *screen) stopAt(b []byte) int {
	if sc.o.Suspend == nil || len(b) == 0 {
		return -1
	}
	t, err := sc.termios()
	if err != nil || t.Lflag&unix.ISIG == 0 || t.Cc[unix.VSUSP] == disabled {
		return -1
	}
	quote := byte(disabled)
	if t.Lflag&unix.IEXTEN != 0 && t.Lflag&unix.ICANON != 0 {
		quote = t.Cc[unix.VLNEXT]
	}
	from := 0
	for {
		i := bytes.IndexByte(b[from:], t.Cc[unix.VSUSP])
		if i < 0 {
			return -1
		}
		i += from
		before := sc.last
		if i > 0 {
			before = b[i-1]
		}
		if quote != disabled && before == quote {
			from = i + 1 // typed for its own sake
			continue
		}
		group := 0
		err := control(sc.master, func(fd int) (err error) {
			group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
			return err
		})
		if err != nil || !sc.o.Stoppable(group) {
			return -1
		}
		return i
	}
}

// suspend has the run stopped, and returns when it goes on.
func (sc *screen) suspend() {
	sc.last = disabled
	sc.o.Suspend()
}

// Stoppable reports whether a terminal's stop character would stop the program
// pid, the leader of its session, if its group is the one in the foreground and
// were not orphaned: the program neither catches nor ignores SIGTSTP, as a shell
// that runs jobs does. That it blocks it says nothing: most do for a moment
// whenever they fork.
func Stoppable(pid, group int) bool {
	if pid <= 0 || group != pid {
		return false
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false // ended, or not to be known: the line discipline decides
	}
	found := 0
	for line := range bytes.Lines(status) {
		key, value, _ := bytes.Cut(line, []byte(":"))
		switch string(key) {
		case "SigIgn", "SigCgt":
			mask, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
			if err != nil || mask&(1<<(unix.SIGTSTP-1)) != 0 {
				return false
			}
			found++
		}
	}
	return found == 2
}
