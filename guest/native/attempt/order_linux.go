package attempt

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Variable is the variable of the environment that makes a process try things; its
// value is an [Order]. A guest that sets it for itself tries them for itself.
const Variable = "AGENTOS_ATTEMPT"

// What an order may ask for.
const (
	Violations = "violations" // all that must fail at once, one line of JSON for each
	bystander  = "bystander"  // wait beside the guest, on the host
)

// Order says what a process is to try, and where the bait is.
type Order struct {
	Do        string `json:"do"`
	Amount    uint64 `json:"amount,omitempty"`    // of what is used up
	Dir       string `json:"dir,omitempty"`       // for all bait
	Secret    string `json:"secret,omitempty"`    // file outside of every grant
	Shown     string `json:"shown,omitempty"`     // granted for reading
	Room      string `json:"room,omitempty"`      // granted for writing
	Repo      string `json:"repo,omitempty"`      // granted for writing; a repository, so that some of it is protected
	State     string `json:"state,omitempty"`     // the state directory, "" if there is none
	Port      int    `json:"port,omitempty"`      // of the host's own loopback
	Abstract  string `json:"abstract,omitempty"`  // unix socket without a file
	Bystander int    `json:"bystander,omitempty"` // process of the same user outside
	Segment   int    `json:"segment,omitempty"`   // of shared memory
}

// Variable returns the setting of the environment that gives the order.
func (o *Order) Variable() (string, error) {
	b, err := json.Marshal(o)
	return Variable + "=" + string(b), err
}

// Main does what the environment orders, if anything, and then never returns.
func Main() {
	text := os.Getenv(Variable)
	if text == "" {
		return
	}
	var o Order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fail(fmt.Errorf("%s: %w", Variable, err))
	}
	var err error
	switch use, ok := uses[o.Do]; {
	case ok:
		err = use(&o)
	case o.Do == Violations:
		err = o.violate()
	case o.Do == bystander:
		err = o.stand()
	default:
		err = fmt.Errorf("%s: there is no %q", Variable, o.Do)
	}
	if err != nil {
		fail(err)
	}
	os.Exit(0)
}

func fail(err error) {
	_, _ = fmt.Fprintln(os.Stderr, err) // nobody else to tell
	os.Exit(1)
}

// Result is what became of one attempt, as the program under trial saw it.
type Result struct {
	Name    string     `json:"name"`
	Call    string     `json:"call"` // the system call that was answered
	Errno   unix.Errno `json:"errno"`
	Got     []byte     `json:"got,omitempty"`     // what was read
	Untried string     `json:"untried,omitempty"` // why it could not be tried
}

// violate tries every violation and prints the results.
func (o *Order) violate() error {
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(Look()); err != nil {
		return err
	}
	for i := range violations {
		v := &violations[i]
		a := v.try(o)
		r := Result{Name: v.name, Call: v.call, Errno: a.errno, Got: a.got, Untried: a.skip}
		if a.call != "" {
			r.Call = a.call
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

const (
	signalled  = "signalled\n"
	baitPrefix = "agentos-doctor-"
)

// stand is the bystander: it makes the directory for the bait and says where, and waits
// until who started it is gone. Then it clears everything away, in case the other could
// not.
func (o *Order) stand() (err error) {
	signal.Ignore(unix.SIGPIPE) // the other may be gone already
	hit := make(chan os.Signal, 1)
	signal.Notify(hit, unix.SIGWINCH)
	dir, err := os.MkdirTemp(o.Dir, baitPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// The real path, since a link on the way is no path of the guest's.
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(real + "\n"); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // returns when the other end is closed, and never with anything
		close(gone)
	}()
	late := time.After(time.Minute)
	for {
		select {
		case <-hit:
			if _, err := os.Stdout.WriteString(signalled); err != nil {
				return err
			}
		case <-gone:
			return nil
		case <-late:
			return nil
		}
	}
}
