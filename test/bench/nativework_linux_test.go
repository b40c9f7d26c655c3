package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/agentos-kernel/agentos"
)

// The work of the native programs.
const (
	repoFiles = 5_000
	tarFiles  = 20_000
	newFiles  = 2_000
	perDir    = 100
	turns     = 5 // of one iteration
)

// imports are modules of the standard library that no other of them needs all of.
var imports = strings.Fields(`argparse ast asyncio base64 calendar concurrent.futures configparser csv ctypes dataclasses
	datetime decimal difflib email.message fractions hashlib http.client inspect json logging
	multiprocessing pickle sqlite3 ssl statistics subprocess tempfile unittest urllib.request xml.etree.ElementTree`)

// BenchmarkNativeWork is the work of real programs, plainly and as native programs of a
// kernel, by turns on the same directory. The times are taken inside, so that the start
// of a sandbox is not among them; those of the processes that they start are.
func BenchmarkNativeWork(b *testing.B) {
	dir := b.TempDir()
	stopwatch := filepath.Join(dir, "stopwatch")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", stopwatch, "./testdata/stopwatch").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	tree, repo := filepath.Join(dir, "tree"), filepath.Join(dir, "repo")
	manyFiles(b, tree, tarFiles)
	manyFiles(b, filepath.Join(dir, "small"), newFiles)
	repository(b, repo)
	for _, work := range []struct {
		name  string
		needs string
		argv  []string
		made  string  // is removed before
		bound float64 // 0 where it is only reported
	}{
		{name: "python", needs: "/usr/bin/python3", argv: []string{"/usr/bin/python3", "-I", "-c",
			"from time import perf_counter_ns as t; a = t(); import " + strings.Join(imports, ", ") + "; print(t() - a)"}, bound: 1.1},
		{name: "git-status", needs: "/usr/bin/git", argv: []string{stopwatch, "/usr/bin/git", "-C", repo, "status", "--porcelain"}, bound: 1.1},
		// tar does not read what it would write to /dev/null.
		{name: "tar", needs: "/usr/bin/tar", argv: []string{stopwatch, "/bin/sh", "-c", "tar cf - tree | cat >/dev/null"}, bound: 1.1},
		{name: "tar-write", needs: "/usr/bin/tar", argv: []string{stopwatch, "/usr/bin/tar", "cf", "tree.tar", "tree"}, made: "tree.tar", bound: 1.1},
		{name: "copy", needs: "/bin/cp", argv: []string{stopwatch, "/bin/cp", "-r", "small", "copy"}, made: "copy"},
		{name: "exec", needs: "/bin/true", argv: []string{stopwatch, "/bin/sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"}},
		{name: "compute", needs: "/bin/sh", argv: []string{stopwatch, "/bin/sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"}},
	} {
		b.Run(work.name, func(b *testing.B) {
			if _, err := os.Stat(work.needs); err != nil {
				b.Skipf("NOT CHECKED: %v", err)
			}
			k := nativeKernel(b, func(c *agentos.Config) { c.NoState = true })
			both := []*contestant{
				{name: "plain", run: func(string) (int, error) { return workPlain(dir, work.argv) }},
				{name: "agentos", run: func(string) (int, error) { return workInKernel(k, dir, work.argv) }},
			}
			turn := func(c *contestant) float64 {
				if work.made != "" {
					if err := os.RemoveAll(filepath.Join(dir, work.made)); err != nil {
						b.Fatal(err)
					}
				}
				ns, err := c.run("")
				if err != nil {
					b.Fatal(err)
				}
				return float64(ns)
			}
			for _, c := range both { // what is read comes from memory from now on
				turn(c)
			}
			first := 0
			for b.Loop() {
				for range turns {
					for i := range both {
						c := both[(first+i)%2]
						c.took = append(c.took, turn(c))
					}
					first++
				}
			}
			settle(b, both, []bound{{of: "agentos", to: "plain", limit: work.bound}})
		})
	}
}

// workPlain runs a program that prints how many nanoseconds it took.
func workPlain(dir string, argv []string) (ns int, err error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append([]string{"HOME=" + dir}, environment...)
	var bad bytes.Buffer
	cmd.Stderr = &bad
	out, err := cmd.Output()
	return nanoseconds(out, errors.Join(err, complaint(&bad)))
}

func workInKernel(k *agentos.Kernel, dir string, argv []string) (ns int, err error) {
	var out, bad bytes.Buffer
	status, err := nativeRun(k, agentos.Spec{
		Program: argv[0], Args: argv[1:], Dir: dir, Stdout: &out, Stderr: &bad,
		Env:    []string{"HOME=" + dir},
		Grants: []agentos.Grant{{Kind: agentos.GrantWrite, Host: dir}},
	})
	if err == nil && status != 0 {
		err = fmt.Errorf("status %d", status)
	}
	return nanoseconds(out.Bytes(), errors.Join(err, complaint(&bad)))
}

// complaint makes an error of what a program said of its work: one that could not read
// everything would be the faster.
func complaint(text *bytes.Buffer) error {
	if text.Len() == 0 {
		return nil
	}
	return fmt.Errorf("it said %.500q", text)
}

func nanoseconds(out []byte, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

// manyFiles makes n small files.
func manyFiles(b *testing.B, dir string, n int) {
	b.Helper()
	text := bytes.Repeat([]byte("0123456789abcde\n"), 32)
	for i := range n {
		sub := filepath.Join(dir, "d"+strconv.Itoa(i/perDir))
		if i%perDir == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(sub, "f"+strconv.Itoa(i%perDir)), text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// repository makes one of git with many files, all of them committed.
func repository(b *testing.B, dir string) {
	b.Helper()
	if _, err := os.Stat("/usr/bin/git"); err != nil {
		return // its work is skipped
	}
	manyFiles(b, dir, repoFiles)
	for _, args := range [][]string{
		{"init", "--quiet"}, {"add", "--all"},
		{"-c", "user.name=bench", "-c", "user.email=bench@example.org", "commit", "--quiet", "--message", "all"},
	} {
		cmd := exec.Command("/usr/bin/git", args...)
		cmd.Dir, cmd.Env = dir, append([]string{"HOME=" + dir}, environment...)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
}
