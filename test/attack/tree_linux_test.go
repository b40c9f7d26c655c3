package attack

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// canary is what must not come out.
const canary = "CANARY-7f3a91"

// plant makes the tree that an attempt works on and returns its top: data, which is
// usually granted, with secret/ and denied.txt in it, which are denied where that
// matters, ro/, a repository, and files to play with; other, a second grant; and
// outside, which nothing grants.
func plant(t testing.TB) string {
	t.Helper()
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"outside/key":                    canary,
		"outside/dir/key":                canary,
		"outside/writable":               "as it was",
		"data/pub.txt":                   "public",
		"data/sub/in.txt":                "public",
		"data/sub/deep/in.txt":           "public",
		"data/sub/key":                   "public",
		"data/mix/key":                   canary,
		"data/mix/in.txt":                "public",
		"data/lone/key":                  canary,
		"data/secret/key":                canary,
		"data/secret/dir/key":            canary,
		"data/denied.txt":                canary,
		"data/ro/in.txt":                 "read only",
		"data/repo/.git/config":          "[core]\n",
		"data/repo/.git/HEAD":            "ref: refs/heads/main\n",
		"data/repo/.git/hooks/old":       "#!/bin/sh\n",
		"data/repo/.git/modules/m/HEAD":  "ref: refs/heads/main\n",
		"data/repo/.git/modules/m/hooks": "",
		"data/repo/src.txt":              "source",
		"other/in.txt":                   "other",
	} {
		put(t, filepath.Join(top, name), text)
	}
	return top
}

func put(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// kept is what no attempt may change, unless it says otherwise: all that is not in
// data or other, and of data what is denied, read-only, or protected.
var kept = [...]string{".", "outside", "data/mix/key", "data/secret", "data/denied.txt", "data/ro", "data/repo/.git"}

// digest describes everything at and beneath the names, in order: type, mode, links,
// size, time of the last change, content. "." is the top itself and no more.
func digest(t testing.TB, top string, names []string) string {
	t.Helper()
	var b strings.Builder
	for _, name := range names {
		err := filepath.WalkDir(filepath.Join(top, name), func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			describe(t, &b, top, p)
			if name == "." {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", name, err)
		}
	}
	return b.String()
}

func describe(t testing.TB, b *strings.Builder, top, p string) {
	t.Helper()
	rel, err := filepath.Rel(top, p)
	must(t, err)
	var st unix.Stat_t
	must(t, unix.Lstat(p, &st))
	what := ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		text, err := os.ReadFile(p)
		must(t, err)
		what = fmt.Sprintf("%x", sha256.Sum256(text))
	case unix.S_IFLNK:
		what, err = os.Readlink(p)
		must(t, err)
	}
	fmt.Fprintf(b, "%s %o %d %d %d.%d %s\n", rel, st.Mode, st.Nlink, st.Size, st.Mtim.Sec, st.Mtim.Nsec, what)
}
