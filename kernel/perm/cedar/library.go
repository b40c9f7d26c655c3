package cedar

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/agentos-kernel/agentos/internal/nearest"
)

//go:embed library/*.cedar
var library embed.FS

// Ready is a policy that comes with the program.
type Ready struct {
	Name string
	Text []byte
	Doc  string // its first sentence
}

// Library returns the policies that come with the program, by name.
func Library() ([]Ready, error) {
	names, err := fs.Glob(library, "library/*.cedar")
	if err != nil {
		return nil, err
	}
	var out []Ready
	for _, n := range names {
		text, err := library.ReadFile(n)
		if err != nil {
			return nil, err
		}
		doc, _, _ := strings.Cut(string(text), "\n@")
		doc = strings.Join(strings.Fields(strings.ReplaceAll(doc, "//", "")), " ")
		out = append(out, Ready{Name: strings.TrimSuffix(path.Base(n), ".cedar"), Text: text, Doc: doc})
	}
	return out, nil
}

// Builtin returns a policy of the library as a source.
func Builtin(name string) (Source, error) {
	all, err := Library()
	if err != nil {
		return Source{}, err
	}
	var names []string
	for _, r := range all {
		if r.Name == name {
			return Source{Name: "builtin:" + name, Text: r.Text}, nil
		}
		names = append(names, r.Name)
	}
	fix := "there are " + strings.Join(names, ", ")
	if near := nearest.Of(name, names); near != "" {
		fix = "did you mean builtin:" + near + "?"
	}
	return Source{}, &Error{File: "builtin:" + name, Problem: fmt.Sprintf("there is no policy %q among those that come with AgentOS", name), Fix: fix}
}
