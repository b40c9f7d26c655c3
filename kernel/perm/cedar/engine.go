package cedar

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/agentos-kernel/agentos/kernel/perm"
)

// Source is the text of one file of policies. Name is what messages call it.
type Source struct {
	Name string
	Text []byte
}

// Options of an Engine.
type Options struct {
	// DefaultDeny refuses what no policy permits.
	DefaultDeny bool
}

// Engine decides by policies. It is immutable.
type Engine struct {
	open     bool // what no policy forbids is allowed
	all      []*policy
	slices   map[question]*slice
	describe []string
	last     atomic.Pointer[asker]
}

var _ perm.Engine = (*Engine)(nil)

// policy is one statement.
type policy struct {
	*cedar.Policy
	id    cedar.PolicyID // that nobody else has
	label string         // for people: its @id, file, and line
}

// asker is a principal as the library knows it.
type asker struct {
	who    perm.Principal
	entity types.Entity
}

// Load makes an engine of policies that are valid against the schema. All that is wrong
// with them is said at once: the error joins *[Error]s.
func Load(sources []Source, o Options) (*Engine, error) {
	e := &Engine{open: !o.DefaultDeny}
	var problems []error
	for _, s := range sources {
		ps, err := parse(s)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, p := range ps {
			p.id = cedar.PolicyID(strconv.Itoa(len(e.all)))
			e.all = append(e.all, p)
		}
		sum := sha256.Sum256(s.Text)
		e.describe = append(e.describe, fmt.Sprintf("%s (%s, sha256:%s)", s.Name, count(len(ps), "policy", "policies"), hex.EncodeToString(sum[:])))
	}
	problems = append(problems, check(e.all)...)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	e.slices = divide(e.all)
	return e, nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// parse splits a source into its policies.
func parse(s Source) ([]*policy, error) {
	if err := bounded(s); err != nil {
		return nil, err
	}
	list, err := cedar.NewPolicyListFromBytes(s.Name, s.Text)
	if err != nil {
		return nil, parseError(s.Name, err)
	}
	out := make([]*policy, len(list))
	for i, p := range list {
		verb := "forbid"
		if p.Effect() == cedar.Permit {
			verb = "permit"
		}
		label := verb
		if id, ok := p.Annotations()["id"]; ok {
			label += " " + string(id)
		}
		out[i] = &policy{Policy: p, label: label + " at " + s.Name + ":" + strconv.Itoa(p.Position().Line)}
	}
	return out, nil
}

// Describe names the files, with how many policies each has and its digest.
func (e *Engine) Describe() []string {
	d := append([]string(nil), e.describe...)
	if !e.open {
		d = append(d, "what no policy permits is refused")
	}
	return d
}

// Decide answers q; see [perm.Engine].
func (e *Engine) Decide(who *perm.Principal, q *perm.Query) perm.Verdict {
	list := e.relevant(q)
	if len(list) == 0 && e.open {
		return perm.Verdict{Allow: true}
	}
	return e.evaluate(list, who, q)
}

// decideWhole is Decide without slices.
func (e *Engine) decideWhole(who *perm.Principal, q *perm.Query) perm.Verdict {
	return e.evaluate(e.all, who, q)
}

// evaluate has the library evaluate a list of policies.
func (e *Engine) evaluate(list policies, who *perm.Principal, q *perm.Query) perm.Verdict {
	a := e.asker(who)
	r := resource(q, a)
	known := entities{principal: &a.entity, resource: &r}
	decision, diag := cedar.Authorize(list, &known, cedar.Request{
		Principal: a.entity.UID, Action: actionOf(q.Action), Resource: r.UID,
	})
	if len(diag.Errors) > 0 {
		x := diag.Errors[0]
		return perm.Verdict{Rule: list.label(x.PolicyID) + ", which could not be evaluated: " + x.Message}
	}
	switch {
	case decision == cedar.Allow:
		return perm.Verdict{Allow: true}
	case len(diag.Reasons) > 0:
		return perm.Verdict{Rule: list.label(diag.Reasons[0].PolicyID)}
	case e.open:
		return perm.Verdict{Allow: true}
	}
	return perm.Verdict{Rule: "no policy permits it"}
}

// policies are those to be evaluated.
type policies []*policy

// All implements [cedar.PolicyIterator].
func (l policies) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, p := range l {
			if !yield(p.id, p.Policy) {
				return
			}
		}
	}
}

func (l policies) label(id cedar.PolicyID) string {
	for _, p := range l {
		if p.id == id {
			return p.label
		}
	}
	return "policy " + string(id)
}

// entities are those of one question.
type entities struct{ principal, resource *types.Entity }

// Get implements [types.EntityGetter].
func (e *entities) Get(uid types.EntityUID) (types.Entity, bool) {
	switch uid {
	case e.resource.UID:
		return *e.resource, true
	case e.principal.UID:
		return *e.principal, true
	}
	return types.Entity{}, false
}

// asker returns the entity of a principal, which is mostly the same.
func (e *Engine) asker(who *perm.Principal) *asker {
	if a := e.last.Load(); a != nil && a.who == *who {
		return a
	}
	a := &asker{who: *who, entity: types.Entity{
		UID: types.NewEntityUID(typeOf(perm.TargetProcess), types.String(who.Run)),
		Attributes: types.NewRecord(types.RecordMap{
			"program": types.String(who.Program), "name": types.String(who.Name), "domain": types.String(who.Domain), "run": types.String(who.Run),
		}),
	}}
	e.last.Store(a)
	return a
}

// resource returns the entity that q is about. What has no value has no attribute: a
// policy that asks for it fails, and so refuses.
func resource(q *perm.Query, a *asker) types.Entity {
	r := types.RecordMap{}
	id := ""
	switch q.Target {
	case perm.TargetFile:
		id = q.Path
		r["path"], r["guest"] = types.String(q.Path), types.String(q.Guest)
	case perm.TargetProgram:
		id = q.Path
		argv := make([]types.Value, len(q.Argv))
		for i, arg := range q.Argv {
			argv[i] = types.String(arg)
		}
		r["path"], r["argv"], r["command"] = types.String(q.Path), types.NewSet(argv...), types.String(strings.Join(q.Argv, " "))
	case perm.TargetEndpoint:
		host := q.Host
		if q.Address.IsValid() {
			addr := q.Address.Unmap().WithZone("")
			if host == "" {
				host = addr.String()
			}
			if ip, err := types.ParseIPAddr(addr.String()); err == nil {
				r["address"] = ip
			}
		}
		r["host"], r["port"] = types.String(host), types.Long(q.Port)
		id = host + ":" + strconv.Itoa(int(q.Port))
	case perm.TargetVariable:
		id = q.Name
		r["name"] = types.String(q.Name)
	case perm.TargetChannel:
		id = q.Name
		r["name"], r["kind"] = types.String(q.Name), types.String(q.Kind)
	case perm.TargetProcess:
		if q.Name == "" || q.Name == a.who.Run {
			return a.entity
		}
		id = q.Name
	case perm.TargetHost:
		id = "host"
	}
	return types.Entity{UID: types.NewEntityUID(typeOf(q.Target), types.String(id)), Attributes: types.NewRecord(r)}
}
