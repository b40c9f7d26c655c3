package cedar

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/agentos-kernel/agentos/internal/nearest"
	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// Error is what is wrong with a policy. Line is 0 where it is not known.
type Error struct {
	File         string
	Line, Column int
	Problem      string
	Fix          string // "" if there is none to give
}

func (e *Error) Error() string {
	at := e.File
	if e.Line > 0 {
		at += ":" + strconv.Itoa(e.Line) + ":" + strconv.Itoa(e.Column)
	}
	s := at + ": " + e.Problem
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// parsed finds the place in what the library's parser says.
var parsed = regexp.MustCompile(`^(?s:(?:parser error: )?parse error at (?:.*?):?(\d+):(\d+)(?: "(.*?)")?: (.*))$`)

// parseError puts a message of the parser into our own form.
func parseError(file string, err error) error {
	e := &Error{File: file, Problem: err.Error()}
	if m := parsed.FindStringSubmatch(err.Error()); m != nil {
		e.Line, _ = strconv.Atoi(m[1]) // digits
		e.Column, _ = strconv.Atoi(m[2])
		e.Problem = m[4]
		if m[3] != "" {
			e.Problem += " (at " + strconv.Quote(m[3]) + ")"
		}
	}
	return e
}

// check says what is wrong with policies by the schema. It looks for unknown names
// itself, to suggest a known one, and leaves types to the library.
func check(all []*policy) []error {
	var s schema.Schema
	s.SetFilename("schema")
	if err := s.UnmarshalCedar([]byte(Schema())); err != nil {
		return []error{fmt.Errorf("the schema of policies: %w", err)}
	}
	resolved, err := s.Resolve()
	if err != nil {
		return []error{fmt.Errorf("the schema of policies: %w", err)}
	}
	v := validate.New(resolved)
	var out []error
	for _, p := range all {
		a := (*ast.Policy)(p.AST())
		n := namer{policy: p}
		n.scopes(a)
		for _, c := range a.Conditions {
			ast.Inspect(ast.NewNode(c.Body), n.node)
		}
		if len(n.errs) > 0 {
			out = append(out, n.errs...)
			continue
		}
		if err := v.Policy(string(p.id), a); err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				line = strings.TrimPrefix(line, fmt.Sprintf("for policy `%s`, ", p.id))
				out = append(out, p.wrong(line, ""))
			}
		}
	}
	return out
}

// wrong is an error in p.
func (p *policy) wrong(problem, fix string) error {
	at := p.Position()
	return &Error{File: at.Filename, Line: at.Line, Column: at.Column, Problem: problem, Fix: fix}
}

// namer looks for names that the schema does not have.
type namer struct {
	policy *policy
	errs   []error
}

func (n *namer) wrong(problem, name string, known []string) {
	fix := "known are " + strings.Join(known, ", ")
	if near := nearest.Of(name, known); near != "" {
		fix = "did you mean " + near + "?"
	}
	n.errs = append(n.errs, n.policy.wrong(problem, fix))
}

func (n *namer) scopes(p *ast.Policy) {
	n.scope(p.Principal)
	n.scope(p.Resource)
	switch s := p.Action.(type) {
	case ast.ScopeTypeEq:
		n.action(s.Entity)
	case ast.ScopeTypeIn:
		n.action(s.Entity)
	case ast.ScopeTypeInSet:
		for _, e := range s.Entities {
			n.action(e)
		}
	}
}

// scope looks at what stands for the principal or the resource.
func (n *namer) scope(s any) {
	switch s := s.(type) {
	case ast.ScopeTypeIs:
		n.entityType(s.Type)
	case ast.ScopeTypeIsIn:
		n.entityType(s.Type)
	case ast.ScopeTypeEq:
		n.entityType(s.Entity.Type)
	}
}

// node looks at one part of a condition.
func (n *namer) node(node ast.IsNode) bool {
	switch node := node.(type) {
	case ast.NodeTypeIs:
		n.entityType(node.EntityType)
	case ast.NodeTypeIsIn:
		n.entityType(node.EntityType)
	case ast.NodeValue:
		if uid, ok := node.Value.(types.EntityUID); ok {
			if uid.Type == namespace+"::Action" {
				n.action(uid)
			} else {
				n.entityType(uid.Type)
			}
		}
	case ast.NodeTypeAccess:
		n.attribute(node.Arg, string(node.Value))
	case ast.NodeTypeHas:
		n.attribute(node.Arg, string(node.Value))
	}
	return true
}

func (n *namer) entityType(t types.EntityType) {
	var known []string
	for i := range perm.NumTargets {
		known = append(known, string(typeOf(i)))
	}
	if !slices.Contains(known, string(t)) {
		n.wrong("there is no type "+string(t), string(t), known)
	}
}

func (n *namer) action(a types.EntityUID) {
	var known []string
	for i, ts := range targets {
		if len(ts) > 0 {
			known = append(known, abi.Action(i).String())
		}
	}
	if a.Type != namespace+"::Action" {
		n.wrong("there is no type of actions "+string(a.Type), string(a.Type), []string{namespace + "::Action"})
	} else if !slices.Contains(known, string(a.ID)) {
		n.wrong("there is no action "+string(a.ID), string(a.ID), known)
	}
}

// attribute complains of one that nothing has.
func (n *namer) attribute(of ast.IsNode, name string) {
	v, ok := of.(ast.NodeTypeVariable)
	if !ok {
		return // of a record, which the library knows more about
	}
	var known []string
	switch v.Name {
	case "principal":
		for _, a := range attributes[perm.TargetProcess] {
			known = append(known, a.name)
		}
	case "resource":
		for _, as := range attributes {
			for _, a := range as {
				if !slices.Contains(known, a.name) {
					known = append(known, a.name)
				}
			}
		}
	default:
		n.errs = append(n.errs, n.policy.wrong("there is no "+string(v.Name)+"."+name+": policies have no context",
			"what they decide on is in principal and resource"))
		return
	}
	if !slices.Contains(known, name) {
		n.wrong("nothing has an attribute "+name, name, known)
	}
}
