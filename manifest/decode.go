package manifest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/agentos-kernel/agentos/internal/nearest"
)

// decoder walks one document's syntax tree. The first error wins; every method
// is a no-op after it.
type decoder struct {
	p         unstable.Parser
	m         *Manifest
	path      []string // of the key being decoded
	key       *unstable.Node
	versioned bool
	err       *Error
}

// Parse reads a document. file names it in messages; its relative host paths are
// made absolute against dir, which must be absolute. Every error is an [*Error].
func Parse(data []byte, file, dir string) (*Manifest, error) {
	if len(data) > MaxSize {
		return nil, &Error{File: file, Problem: fmt.Sprintf("is %d bytes long; a manifest is at most %d", len(data), MaxSize)}
	}
	// The whole grammar first, with its rules on repeated keys and tables,
	// which the syntax tree alone does not hold. Then the tree, for the
	// positions that a plain unmarshal would lose.
	var whole map[string]any
	if err := toml.Unmarshal(data, &whole); err != nil {
		return nil, syntax(file, err)
	}
	d := &decoder{m: &Manifest{File: file, Dir: dir}}
	d.p.Reset(data)
	var table []string
	for d.err == nil && d.p.NextExpression() {
		e := d.p.Expression()
		switch e.Kind {
		case unstable.Table:
			table = d.table(e)
		case unstable.KeyValue:
			d.keyValue(table, e)
		case unstable.ArrayTable:
			key := e.Key()
			key.Next()
			d.key, d.path = key.Node(), []string{string(key.Node().Data)}
			d.fail(key.Node(), "is not an array of tables", "the schema has none; see docs/MANIFEST.md")
		default:
		}
	}
	switch err := d.p.Error(); {
	case d.err != nil:
		return nil, d.err
	case err != nil:
		return nil, &Error{File: file, Problem: err.Error(), Err: err}
	case !d.versioned:
		return nil, &Error{File: file, Pos: Pos{1, 1}, Key: "version", Problem: "is missing", Fix: fmt.Sprintf("begin the manifest with version = %d", Version)}
	}
	return d.m, nil
}

// syntax turns a parser's error into an Error.
func syntax(file string, err error) *Error {
	e := &Error{File: file, Problem: strings.TrimPrefix(err.Error(), "toml: "), Fix: "a manifest is a TOML document", Err: err}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		e.Line, e.Column = de.Position()
		e.Key = strings.Join(de.Key(), ".")
	}
	return e
}

// table opens [a.b] and returns its path.
func (d *decoder) table(e *unstable.Node) []string {
	path, last := collect(e.Key())
	d.key, d.path = last, path
	if len(path) == 1 {
		for _, t := range tables {
			if path[0] == t {
				return path
			}
		}
	}
	d.unknown(last, tables[:])
	return path
}

// collect reads a dotted key.
func collect(it unstable.Iterator) (path []string, last *unstable.Node) {
	for it.Next() {
		last = it.Node()
		path = append(path, string(last.Data))
	}
	return path, last
}

// keyValue decodes one assignment, into inline tables too.
func (d *decoder) keyValue(prefix []string, e *unstable.Node) {
	if d.err != nil {
		return
	}
	rest, last := collect(e.Key())
	path := append(append(make([]string, 0, len(prefix)+len(rest)), prefix...), rest...)
	d.path, d.key = path, last
	value := e.Value()
	if value.Kind == unstable.InlineTable {
		if len(path) != 1 || (path[0] != "env" && path[0] != "limits") {
			d.unknownOr(last, "is not a table")
			return
		}
		for it := value.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				d.keyValue(path, it.Node())
			}
		}
		return
	}
	if path[0] == "env" && len(path) == 2 {
		d.variable(path[1], value)
		return
	}
	name := strings.Join(path, ".")
	for _, k := range schema() {
		if k.Name == name && k.decode != nil {
			k.decode(d, value)
			return
		}
	}
	d.unknownOr(last, "is a table")
}

// variable decodes one entry of the env table.
func (d *decoder) variable(key string, n *unstable.Node) {
	if p := CheckKey(key); p != "" {
		d.fail(d.key, fmt.Sprintf("the variable %q %s", key, p), "")
		return
	}
	if v := into(d, n, noNUL); v.Set() {
		d.m.Env = append(d.m.Env, Variable{Key: key, Value: v.V, Pos: v.Pos})
	}
}

// unknownOr fails with problem where the key is known but of another shape, else
// as an unknown key.
func (d *decoder) unknownOr(n *unstable.Node, problem string) {
	name := strings.Join(d.path, ".")
	names := make([]string, 0, 32)
	for _, k := range schema() {
		if k.Name == name {
			d.fail(n, problem, "write "+article(k.Type))
			return
		}
		names = append(names, k.Name)
	}
	for _, t := range tables {
		if t == name {
			d.fail(n, problem, "write ["+t+"] and its keys below")
			return
		}
	}
	d.unknown(n, names)
}

// unknown refuses a key, with the nearest of names.
func (d *decoder) unknown(n *unstable.Node, names []string) {
	name := strings.Join(d.path, ".")
	near := nearest.Of(name, names)
	if near == "" { // perhaps the right key in the wrong table
		for _, k := range names {
			if short := k[strings.LastIndexByte(k, '.')+1:]; short != "*" && short == nearest.Of(d.path[len(d.path)-1], []string{short}) {
				near = k
				break
			}
		}
	}
	if near != "" && near != "env.*" {
		d.fail(n, "is not a key of a manifest", fmt.Sprintf("did you mean %s?", near))
		return
	}
	d.fail(n, "is not a key of a manifest", "docs/MANIFEST.md lists them")
}

// pos is where n stands; arrays and the like stand where their key does.
func (d *decoder) pos(n *unstable.Node) Pos {
	if n == nil || n.Raw.Length == 0 {
		n = d.key
	}
	s := d.p.Shape(n.Raw).Start
	return Pos{s.Line, s.Column}
}

// fail records the first error.
func (d *decoder) fail(n *unstable.Node, problem, fix string) {
	if d.err == nil {
		d.err = &Error{File: d.m.File, Pos: d.pos(n), Key: strings.Join(d.path, "."), Problem: problem, Fix: fix}
	}
}

// mistyped refuses a value of the wrong kind.
func (d *decoder) mistyped(n *unstable.Node, want string) {
	d.fail(n, "is "+article(kindName(n.Kind)), "write "+article(want))
}

// each calls f for every element of an array.
func (d *decoder) each(n *unstable.Node, f func(*unstable.Node)) {
	if n.Kind != unstable.Array {
		d.mistyped(n, "array of strings")
		return
	}
	for it := n.Children(); d.err == nil && it.Next(); {
		if it.Node().Kind != unstable.Comment {
			f(it.Node())
		}
	}
}

func (d *decoder) grants(n *unstable.Node, kind GrantKind) {
	d.each(n, func(n *unstable.Node) {
		g := Grant{Kind: kind}
		v := into(d, n, func(s string) (host string, err error) {
			if kind == Deny {
				host, err = ParseDenied(s)
			} else {
				host, g.Guest, err = ParseGrant(s)
			}
			if err != nil {
				return "", err
			}
			return d.abs(host)
		})
		if v.Set() {
			g.Host, g.Pos = v.V, v.Pos
			d.m.Grants = append(d.m.Grants, g)
		}
	})
}

func (d *decoder) boolean(n *unstable.Node) Value[bool] {
	if n.Kind != unstable.Bool {
		d.mistyped(n, "boolean")
		return Value[bool]{}
	}
	return Value[bool]{len(n.Data) > 0 && n.Data[0] == 't', d.pos(n)}
}

// count reads a whole number.
func (d *decoder) count(n *unstable.Node) (int, bool) {
	if n.Kind != unstable.Integer {
		d.mistyped(n, "integer")
		return 0, false
	}
	v := scalar(d, n, ParseCount)
	return v.V, v.Set()
}

// into reads a string through parse.
func into[T any](d *decoder, n *unstable.Node, parse func(string) (T, error)) Value[T] {
	if n.Kind != unstable.String {
		d.mistyped(n, "string")
		return Value[T]{}
	}
	return parsed(d, n, string(n.Data), parse)
}

// scalar reads a string or a number through parse, which sees numbers as they
// are written but for TOML's underscores.
func scalar[T any](d *decoder, n *unstable.Node, parse func(string) (T, error)) Value[T] {
	switch n.Kind {
	case unstable.String:
		return parsed(d, n, string(n.Data), parse)
	case unstable.Integer, unstable.Float:
		return parsed(d, n, strings.TrimPrefix(strings.ReplaceAll(string(n.Data), "_", ""), "+"), parse)
	default:
		d.mistyped(n, "string or number")
		return Value[T]{}
	}
}

func parsed[T any](d *decoder, n *unstable.Node, s string, parse func(string) (T, error)) Value[T] {
	v, err := parse(s)
	if err != nil {
		problem, fix, _ := strings.Cut(err.Error(), "; ")
		d.fail(n, problem, fix)
		return Value[T]{}
	}
	return Value[T]{v, d.pos(n)}
}

func kindName(k unstable.Kind) string {
	switch k {
	case unstable.String:
		return "string"
	case unstable.Bool:
		return "boolean"
	case unstable.Integer:
		return "integer"
	case unstable.Float:
		return "number"
	case unstable.Array:
		return "array"
	case unstable.InlineTable, unstable.Table, unstable.ArrayTable:
		return "table"
	default:
		return "date or time"
	}
}

func article(s string) string {
	if strings.ContainsRune("aeiou", rune(s[0])) {
		return "an " + s
	}
	return "a " + s
}
