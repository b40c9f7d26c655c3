package deps

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const modulePath = "github.com/agentos-kernel/agentos"

// source is one Go file of the tree.
type source struct {
	name  string // slash-separated, relative to the module
	test  bool
	lines int
	file  *ast.File
}

// pkg is one directory of Go files. External test packages count as tests.
type pkg struct {
	path  string // relative to the module, "." for the root
	fset  *token.FileSet
	files []source
}

// load parses every Go file beneath fsys, whatever its build constraints, and
// leaves out nested modules, testdata, and hidden directories.
func load(fsys fs.FS) ([]pkg, error) {
	byPath := make(map[string]*pkg)
	fset := token.NewFileSet()
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			base := path.Base(name)
			if name != "." && (base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_') {
				return fs.SkipDir
			}
			if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil && name != "." {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		p := byPath[dir]
		if p == nil {
			p = &pkg{path: dir, fset: fset}
			byPath[dir] = p
		}
		p.files = append(p.files, source{
			name:  name,
			test:  strings.HasSuffix(name, "_test.go"),
			lines: strings.Count(string(text), "\n"),
			file:  f,
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	var pkgs []pkg
	for _, p := range byPath {
		pkgs = append(pkgs, *p)
	}
	slices.SortFunc(pkgs, func(a, b pkg) int { return strings.Compare(a.path, b.path) })
	return pkgs, nil
}

// imports returns the import paths of a file.
func (s *source) imports() (paths []string) {
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			p = i.Path.Value // the parser has accepted it; report it as it stands
		}
		paths = append(paths, p)
	}
	return paths
}

// match reports whether a relative package path falls under a pattern.
func match(pattern, rel string) bool {
	if pattern == "..." {
		return true
	}
	if top, ok := strings.CutSuffix(pattern, "/..."); ok {
		return rel == top || strings.HasPrefix(rel, top+"/")
	}
	return pattern == rel
}

func matchAny(patterns []string, rel string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, rel) })
}

// module reports whether import path p belongs to module m.
func inModule(m, p string) bool { return p == m || strings.HasPrefix(p, m+"/") }

// relative returns the path of an import inside this module, or "".
func relative(p string) string {
	if p == modulePath {
		return "."
	}
	rel, ok := strings.CutPrefix(p, modulePath+"/")
	if !ok {
		return ""
	}
	return rel
}

// standard reports whether p is in the standard library: the first element of
// any other import path has a dot.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}

// rules is the whole of what is checked, so that the checks can be tested on
// rules and trees of their own.
type rules struct {
	lattice  []room
	testOnly map[string][]string
	planned  []string
	loosen   string
}

func (r *rules) room(rel string) *room {
	for i := range r.lattice {
		if r.lattice[i].path == rel {
			return &r.lattice[i]
		}
	}
	return nil
}

// reach is every package that product code of rel may come to import, directly
// or through others.
func (r *rules) reach(rel string, seen map[string]bool) {
	rm := r.room(rel)
	if rm == nil || seen[rel] {
		return
	}
	seen[rel] = true
	for _, other := range r.lattice {
		if other.path != rel && matchAny(rm.may, other.path) {
			r.reach(other.path, seen)
		}
	}
}

// check compares a tree with the rules and returns one line for each violation.
func (r *rules) check(pkgs []pkg) (bad []string) {
	report := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	present := make(map[string]bool)
	for _, p := range pkgs {
		present[p.path] = true
		rm := r.room(p.path)
		if rm == nil {
			report("%s: the package has no row in the lattice; %s", p.path, r.loosen)
			continue
		}
		for _, s := range p.files {
			for _, imp := range s.imports() {
				if why := r.refuse(rm, &s, imp); why != "" {
					report("%s: imports %q: %s", s.name, imp, why)
				}
			}
		}
	}
	for i, rm := range r.lattice {
		planned := slices.Contains(r.planned, rm.path)
		if present[rm.path] == planned {
			if planned {
				report("%s: the package is there; take it off the planned list", rm.path)
			} else {
				report("%s: the lattice has a row and the tree no package", rm.path)
			}
		}
		for _, later := range r.lattice[i:] {
			// A pattern that ends in "..." may cover the row itself.
			if slices.Contains(rm.may, later.path) {
				report("%s: may import %s, which is not below it in the list", rm.path, later.path)
			}
		}
	}
	return bad
}

// refuse says why the file may not import imp, or "".
func (r *rules) refuse(rm *room, s *source, imp string) string {
	if standard(imp) {
		if s.test {
			return ""
		}
		for _, c := range confined {
			if c.pkg == imp && !matchAny(c.rooms, rm.path) {
				return c.reason
			}
		}
		if imp == "unsafe" && !slices.Contains(unsafeRooms, rm.path) {
			return "unsafe belongs in the rooms that unsafeRooms lists; " + r.loosen
		}
		return ""
	}
	if rel := relative(imp); rel != "" {
		if matchAny(rm.may, rel) {
			return ""
		}
		if s.test {
			below := make(map[string]bool)
			r.reach(rm.path, below) // includes the package itself
			if below[rel] || matchAny(rm.inTests, rel) || rm.path != "." && match(rm.path+"/...", rel) {
				return ""
			}
		}
		return "the lattice has no such edge; " + r.loosen
	}
	for _, m := range rm.third {
		if inModule(m, imp) {
			return ""
		}
	}
	if s.test {
		for m, rooms := range r.testOnly {
			if inModule(m, imp) && matchAny(rooms, rm.path) {
				return ""
			}
		}
	}
	return "the module is not admitted here; " + r.loosen
}

// initFuncs finds init functions outside tests.
func initFuncs(pkgs []pkg) (bad []string) {
	for _, p := range pkgs {
		for _, s := range p.files {
			if s.test {
				continue
			}
			for _, d := range s.file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					bad = append(bad, s.name+": func init: wire it visibly in the root package instead")
				}
			}
		}
	}
	return bad
}

// mutableGlobals finds package variables that product code assigns to. It sees
// assignments, not changes through a pointer or a method. Identifiers are
// resolved by the type checker, which is given no imports and whose complaints
// about them do not matter here.
func mutableGlobals(pkgs []pkg) (bad []string) {
	for _, p := range pkgs {
		if slices.Contains(mutableRooms, p.path) {
			continue
		}
		var files []*ast.File
		for _, s := range p.files {
			if !s.test {
				files = append(files, s.file)
			}
		}
		info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
		conf := types.Config{Error: func(error) {}, Importer: noImports{}, FakeImportC: true}
		checked, _ := conf.Check(p.path, p.fset, files, info) // the first error is one about imports
		flag := func(e ast.Expr) {
			id := rootIdent(e)
			if id == nil {
				return
			}
			if v, ok := info.Uses[id].(*types.Var); ok && v.Parent() == checked.Scope() {
				bad = append(bad, fmt.Sprintf("%s: assigns to the package variable %s", p.fset.Position(id.Pos()), id.Name))
			}
		}
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.AssignStmt:
					if n.Tok != token.DEFINE {
						for _, e := range n.Lhs {
							flag(e)
						}
					}
				case *ast.IncDecStmt:
					flag(n.X)
				}
				return true
			})
		}
	}
	return bad
}

// noImports gives an empty package for every import.
type noImports struct{}

func (noImports) Import(p string) (*types.Package, error) {
	pkg := types.NewPackage(p, path.Base(p))
	pkg.MarkComplete()
	return pkg, nil
}

// rootIdent is x of x, x.f, x[i], (*x).f, and so on.
func rootIdent(e ast.Expr) *ast.Ident {
	for {
		switch v := e.(type) {
		case *ast.Ident:
			return v
		case *ast.SelectorExpr:
			e = v.X
		case *ast.IndexExpr:
			e = v.X
		case *ast.StarExpr:
			e = v.X
		case *ast.ParenExpr:
			e = v.X
		default:
			return nil
		}
	}
}

// names finds packages whose name says nothing, or differs from its directory.
func names(pkgs []pkg) (bad []string) {
	for _, p := range pkgs {
		for _, s := range p.files {
			name := strings.TrimSuffix(s.file.Name.Name, "_test")
			if slices.Contains(badNames, name) {
				bad = append(bad, fmt.Sprintf("%s: package %s: the name says nothing", s.name, name))
			}
			if name != "main" && p.path != "." && name != path.Base(p.path) {
				bad = append(bad, fmt.Sprintf("%s: package %s in directory %s", s.name, name, p.path))
			}
		}
	}
	return bad
}

// undocumented finds packages without the four paragraphs of a package comment:
// what it is, its invariants, its locks, its imports. Commands are documented for
// their users instead.
func undocumented(pkgs []pkg) (bad []string) {
	for _, p := range pkgs {
		var doc string
		library := false
		for _, s := range p.files {
			if !s.test && s.file.Name.Name != "main" {
				library = true
			}
			if s.file.Doc != nil && !s.test {
				doc += s.file.Doc.Text()
			}
		}
		if !library {
			continue
		}
		for _, word := range []string{"Invariant", "Lock", "Import"} {
			if !strings.Contains(doc, word) {
				bad = append(bad, fmt.Sprintf("%s: the package comment has no paragraph on %ss", p.path, strings.ToLower(word)))
			}
		}
	}
	return bad
}

// long finds files and packages that deserve a second look. Generated files and
// tests are left out.
func long(pkgs []pkg, fileLines, pkgLines int) (found []string) {
	for _, p := range pkgs {
		total := 0
		for _, s := range p.files {
			if s.test || ast.IsGenerated(s.file) {
				continue
			}
			total += s.lines
			if s.lines > fileLines {
				found = append(found, fmt.Sprintf("%s: %d lines", s.name, s.lines))
			}
		}
		if total > pkgLines {
			found = append(found, fmt.Sprintf("%s: %d lines in the package", p.path, total))
		}
	}
	return found
}
