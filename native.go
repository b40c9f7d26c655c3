package agentos

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/native/program"
)

// resolveNative says how a native program starts in the view that the mounts make.
// Errors are *StartErrors.
func (k *Kernel) resolveNative(spec *Spec, mounts []guest.Mount) (*program.Executable, error) {
	x, err := program.Resolve(spec.Program, program.NewView(mounts), nativeSurroundings(spec))
	if err != nil {
		return nil, programError(spec.Program, err)
	}
	return x, nil
}

// addToolchain grants reading of the installation that a program belongs to, and
// names the program itself where a version manager's shim was named.
func addToolchain(spec *Spec) error {
	in, err := program.Toolchain(spec.Program, nativeSurroundings(spec))
	if err != nil {
		return programError(spec.Program, err)
	}
	spec.Program = in.Program
	spec.Grants = slices.Clip(spec.Grants) // the caller's own list stays as it is
	for _, d := range in.Dirs {
		spec.Grants = append(spec.Grants, Grant{Kind: GrantRead, Host: d, Source: "toolchain"})
	}
	return nil
}

// nativeSurroundings are the caller's, and the PATH of the guest.
func nativeSurroundings(spec *Spec) program.Surroundings {
	s := program.Surroundings{Getenv: os.Getenv}
	// Without them a shim's choice is less well known, and the message says less.
	if wd, err := os.Getwd(); err == nil {
		s.Dir = wd
	}
	if home, err := os.UserHomeDir(); err == nil {
		s.Home = home
	}
	for _, kv := range spec.Env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			s.Path = path
		}
	}
	return s
}

// programCodes gives the code of each kind of error; see ui/cli/codes.go.
var programCodes = [...]string{
	program.NotFound:      "NOT-FOUND",
	program.Unreadable:    "UNREADABLE",
	program.NotExecutable: "NOT-EXECUTABLE",
	program.NotRunnable:   "NOT-RUNNABLE",
	program.WrongArch:     "WRONG-ARCH",
	program.NoInterpreter: "NO-INTERPRETER",
	program.NotVisible:    "NOT-VISIBLE",
}

// programError turns an error of package program into a StartError: 127 if the
// program was not found, 126 if it cannot start.
func programError(name string, err error) *StartError {
	var e *program.Error
	if !errors.As(err, &e) {
		return notRunnable("NOT-RUNNABLE", name, err.Error(), "", err)
	}
	se := notRunnable(programCodes[e.Kind], e.Path, e.Problem, e.Fix, err)
	if e.Kind == program.NotFound {
		se.Status = 127
	}
	return se
}
