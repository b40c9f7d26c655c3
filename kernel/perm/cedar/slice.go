package cedar

import (
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// question is what a slice is for.
type question struct {
	action abi.Action
	target perm.Target
}

// slice holds the policies that can have a say in one kind of question: those that can
// anywhere, and for each top directory that some policy names, those that can there.
type slice struct {
	everywhere policies
	within     map[string]policies // everywhere included, in the order of the files
}

// divide makes the slices.
func divide(all []*policy) map[question]*slice {
	out := map[question]*slice{}
	for action, ts := range targets {
		for _, t := range ts {
			q := question{abi.Action(action), t}
			if s := cut(all, q); s != nil {
				out[q] = s
			}
		}
	}
	return out
}

// cut makes one slice, nil if no policy has a say.
func cut(all []*policy, q question) *slice {
	s := &slice{within: map[string]policies{}}
	var concerned []*policy
	wheres := make([]places, 0, len(all))
	for _, p := range all {
		a := (*ast.Policy)(p.AST())
		if !applies(a, q) {
			continue
		}
		where := everywhere
		if q.target == perm.TargetFile {
			where = placesOf(a)
		}
		concerned, wheres = append(concerned, p), append(wheres, where)
		for _, top := range where.tops {
			s.within[top] = nil
		}
	}
	if len(concerned) == 0 {
		return nil
	}
	for i, p := range concerned {
		if wheres[i].all {
			s.everywhere = append(s.everywhere, p)
		}
		for top := range s.within {
			if wheres[i].covers(top) {
				s.within[top] = append(s.within[top], p)
			}
		}
	}
	return s
}

// relevant returns the policies that can have a say in q.
func (e *Engine) relevant(q *perm.Query) policies {
	s := e.slices[question{q.Action, q.Target}]
	if s == nil {
		return nil
	}
	if q.Target == perm.TargetFile {
		if l, ok := s.within[topOf(q.Path)]; ok {
			return l
		}
	}
	return s.everywhere
}

// Concerning names, in words, a policy that has a say in a question of which asks holds;
// "" if there is none. A default of denial is one.
func (e *Engine) Concerning(asks func(abi.Action, perm.Target) bool) string {
	for action, ts := range targets {
		for _, t := range ts {
			if !asks(abi.Action(action), t) {
				continue
			}
			if !e.open {
				return "what no policy permits is refused"
			}
			for _, p := range e.all {
				if applies((*ast.Policy)(p.AST()), question{abi.Action(action), t}) {
					return p.label
				}
			}
		}
	}
	return ""
}

// applies reports whether the scope of a policy leaves room for a question.
func applies(p *ast.Policy, q question) bool {
	action := actionOf(q.action)
	switch s := p.Action.(type) {
	case ast.ScopeTypeEq:
		if s.Entity != action {
			return false
		}
	case ast.ScopeTypeIn:
		if s.Entity != action { // actions have no groups
			return false
		}
	case ast.ScopeTypeInSet:
		found := false
		for _, e := range s.Entities {
			found = found || e == action
		}
		if !found {
			return false
		}
	}
	switch s := p.Resource.(type) {
	case ast.ScopeTypeIs:
		return s.Type == typeOf(q.target)
	case ast.ScopeTypeIsIn:
		return s.Type == typeOf(q.target)
	case ast.ScopeTypeEq:
		return s.Entity.Type == typeOf(q.target)
	}
	return true
}

// places are the top directories in which a policy can match or fail.
type places struct {
	all  bool
	tops []string
}

var everywhere = places{all: true}

func (p places) covers(top string) bool {
	if p.all {
		return true
	}
	for _, t := range p.tops {
		if t == top {
			return true
		}
	}
	return false
}

// placesOf finds out where a policy on files can match or fail. What is evaluated first
// decides: where that is false nothing else is looked at, and it cannot fail.
func placesOf(p *ast.Policy) places {
	if s, ok := p.Resource.(ast.ScopeTypeEq); ok {
		return places{tops: []string{topOf(string(s.Entity.ID))}}
	}
	if len(p.Conditions) == 0 || p.Conditions[0].Condition != ast.ConditionWhen {
		return everywhere
	}
	return placesIn(p.Conditions[0].Body)
}

func placesIn(n ast.IsNode) places {
	switch n := n.(type) {
	case ast.NodeTypeAnd:
		return placesIn(n.Left)
	case ast.NodeTypeOr:
		l, r := placesIn(n.Left), placesIn(n.Right)
		if l.all || r.all {
			return everywhere
		}
		return places{tops: append(l.tops, r.tops...)}
	case ast.NodeTypeLike:
		if isPath(n.Arg) {
			return beneathOf(n.Value)
		}
	case ast.NodeTypeEquals:
		for _, side := range [][2]ast.IsNode{{n.Left, n.Right}, {n.Right, n.Left}} {
			if v, ok := side[1].(ast.NodeValue); ok && isPath(side[0]) {
				if s, ok := v.Value.(types.String); ok {
					return places{tops: []string{topOf(string(s))}}
				}
			}
		}
	}
	return everywhere
}

// isPath reports whether n is resource.path.
func isPath(n ast.IsNode) bool {
	a, ok := n.(ast.NodeTypeAccess)
	if !ok || a.Value != "path" {
		return false
	}
	v, ok := a.Arg.(ast.NodeTypeVariable)
	return ok && v.Name == "resource"
}

// beneathOf returns the places of what is like a pattern: that of its beginning, if
// the wildcard comes after the top directory.
func beneathOf(p types.Pattern) places {
	text := string(p.MarshalCedar()) // quoted, with * for a wildcard and \* for a star
	text = strings.TrimSuffix(strings.TrimPrefix(text, `"`), `"`)
	end := strings.IndexAny(text, `*\`)
	if end < 0 {
		return places{tops: []string{topOf(text)}}
	}
	if text = text[:end]; strings.Count(text, "/") < 2 || text[0] != '/' {
		return everywhere
	}
	return places{tops: []string{topOf(text)}}
}

// topOf returns the first component of a path, with its slash.
func topOf(p string) string {
	if i := strings.IndexByte(strings.TrimPrefix(p, "/"), '/'); i >= 0 && strings.HasPrefix(p, "/") {
		return p[:i+1]
	}
	return p
}
