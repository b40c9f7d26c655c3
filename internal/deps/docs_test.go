package deps

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

var (
	mdLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fenced = regexp.MustCompile("(?ms)^```.*?^```")
	code   = regexp.MustCompile("`[^`\n]*`")
)

// links finds relative links of Markdown pages that lead nowhere, and pages of
// docs that its index does not name.
func links(fsys fs.FS) (bad []string, err error) {
	index := make(map[string]bool)
	var pages []string
	err = fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if base := path.Base(name); name != "." && (base == "testdata" || base == "sample" || base == "bin" || base[0] == '.') {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".md" {
			return nil
		}
		if path.Dir(name) == "docs" && name != "docs/README.md" {
			pages = append(pages, name)
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		text = code.ReplaceAll(fenced.ReplaceAll(text, nil), nil)
		for _, m := range mdLink.FindAllSubmatch(text, -1) {
			target, _, _ := strings.Cut(string(m[1]), "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			to := path.Join(path.Dir(name), target)
			if name == "docs/README.md" {
				index[to] = true
			}
			if _, err := fs.Stat(fsys, to); err != nil {
				bad = append(bad, fmt.Sprintf("%s: the link to %s leads nowhere", name, target))
			}
		}
		return nil
	})
	for _, p := range pages {
		if !index[p] {
			bad = append(bad, p+": docs/README.md does not name the page")
		}
	}
	return bad, err
}

func TestDocumentation(t *testing.T) {
	bad, err := links(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	fail(t, bad)
}

func TestDocumentationChecksBite(t *testing.T) {
	fsys := fstest.MapFS{
		"README.md":      {Data: []byte("[a](docs/A.md) [b](https://example.org/x) `[c](gone.md)`\n```\n[d](gone.md)\n```\n")},
		"docs/README.md": {Data: []byte("[A](A.md#part)\n")},
		"docs/A.md":      {Data: []byte("[up](../README.md)\n")},
	}
	bad, err := links(fsys)
	if err != nil || len(bad) != 0 {
		t.Fatalf("a whole tree: %q, %v", bad, err)
	}
	fsys["docs/B.md"] = &fstest.MapFile{Data: []byte("[gone](C.md)")}
	bad, err = links(fsys)
	if err != nil || len(bad) != 2 {
		t.Errorf("got %q, %v; want a page that is not named and a link to nowhere", bad, err)
	}
}
