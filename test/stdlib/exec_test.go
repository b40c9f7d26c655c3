package stdlib

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The environment of this test binary when go test runs it as the -exec program.
const (
	envBinary = "STDLIB_AGENTOS" // the agentos to run; its presence selects the role
	envGoroot = "STDLIB_GOROOT"
	envView   = "STDLIB_VIEW"
)

var which = flag.String("stdlib", "smoke", "what to run: smoke, subset, all, or packages separated by commas")

func TestMain(m *testing.M) {
	if binary, ok := os.LookupEnv(envBinary); ok {
		err := execute(binary, os.Getenv(envGoroot), os.Getenv(envView), os.Args[1:])
		fmt.Fprintln(os.Stderr, "stdlib:", err)
		os.Exit(125)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// execute replaces this process by agentos running a test binary, whose path and
// arguments are args. go test has made the package's directory the current one.
func execute(binary, goroot, view string, args []string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	src := filepath.Join(goroot, "src")
	pkg, err := filepath.Rel(src, dir)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(r row) bool { return r.pkg == filepath.ToSlash(pkg) })
	if i < 0 {
		return fmt.Errorf("%s is not the directory of a package that is listed", dir)
	}
	argv := []string{"agentos", "run", "--quiet"}
	if view == root {
		scratch, err := os.MkdirTemp("", "stdlib-root-") // beneath what the caller removes
		if err != nil {
			return err
		}
		if err := os.Mkdir(filepath.Join(scratch, "tmp"), 0o700); err != nil {
			return err
		}
		argv = append(argv, "--write", scratch+":/")
	}
	argv = append(argv, "--read", goroot)
	for _, f := range rows[i].read {
		argv = append(argv, "--read", f)
	}
	argv = append(argv, "--cwd", dir, "--env", "PWD="+dir, "--env", "TMPDIR=/tmp")
	return syscall.Exec(binary, append(argv, args...), os.Environ())
}

// build makes the agentos of this tree.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "agentos")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/agentos").CombinedOutput(); err != nil {
		t.Fatalf("building agentos: %v\n%s", err, out)
	}
	return binary
}

// selected returns the rows that -stdlib names.
func selected(t *testing.T, what string) (chosen []row, full bool) {
	t.Helper()
	set, ok := map[string]int{"smoke": smoke, "subset": subset, "all": all}[what]
	if ok {
		for _, r := range rows {
			if r.set <= set {
				chosen = append(chosen, r)
			}
		}
		return chosen, set == all
	}
	for name := range strings.SplitSeq(what, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.pkg == name })
		if i < 0 {
			t.Fatalf("-stdlib: %q is neither smoke, subset, nor all, and no package of the list in packages_test.go", name)
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, true
}
