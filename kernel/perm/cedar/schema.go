package cedar

import (
	"strings"

	"github.com/cedar-policy/cedar-go/types"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/perm"
)

// namespace holds all types and actions.
const namespace = "AgentOS"

// attribute is one of an entity type.
type attribute struct{ name, typ string }

// attributes are what policies may ask of each kind of resource.
var attributes = [perm.NumTargets][]attribute{
	perm.TargetHost:     nil,
	perm.TargetFile:     {{"path", "String"}, {"guest", "String"}},
	perm.TargetEndpoint: {{"host", "String"}, {"address", "ipaddr"}, {"port", "Long"}},
	perm.TargetProgram:  {{"path", "String"}, {"argv", "Set<String>"}, {"command", "String"}},
	perm.TargetVariable: {{"name", "String"}},
	perm.TargetChannel:  {{"name", "String"}, {"kind", "String"}},
	perm.TargetProcess:  {{"program", "String"}, {"name", "String"}, {"domain", "String"}, {"run", "String"}},
}

// targets are what each action is done to. [abi.ActNone] is no action of a policy.
var targets = [abi.NumActions][]perm.Target{
	abi.ActRead:    {perm.TargetFile},
	abi.ActList:    {perm.TargetFile},
	abi.ActWrite:   {perm.TargetFile},
	abi.ActCreate:  {perm.TargetFile},
	abi.ActDelete:  {perm.TargetFile},
	abi.ActExecute: {perm.TargetProgram, perm.TargetFile},
	abi.ActConnect: {perm.TargetEndpoint},
	abi.ActListen:  {perm.TargetEndpoint},
	abi.ActSignal:  {perm.TargetProcess},
	abi.ActEnv:     {perm.TargetVariable},
	abi.ActIPC:     {perm.TargetChannel},
	abi.ActClock:   {perm.TargetHost},
	abi.ActRandom:  {perm.TargetHost},
	abi.ActInfo:    {perm.TargetHost},
}

// typeOf is the entity type of a kind of resource.
func typeOf(t perm.Target) types.EntityType {
	return types.EntityType(namespace + "::" + t.String())
}

// actionOf names an action as policies do.
func actionOf(a abi.Action) types.EntityUID {
	return types.NewEntityUID(namespace+"::Action", types.String(a.String()))
}

// Schema returns the schema of policies in the Cedar language.
func Schema() string {
	var b strings.Builder
	b.WriteString("namespace " + namespace + " {\n")
	for t := range perm.NumTargets {
		b.WriteString("  entity " + t.String())
		if as := attributes[t]; len(as) > 0 {
			fields := make([]string, len(as))
			for i, a := range as {
				fields[i] = a.name + ": " + a.typ
			}
			b.WriteString(" = { " + strings.Join(fields, ", ") + " }")
		}
		b.WriteString(";\n")
	}
	for a := range abi.NumActions {
		if len(targets[a]) == 0 {
			continue
		}
		names := make([]string, len(targets[a]))
		for i, t := range targets[a] {
			names[i] = t.String()
		}
		b.WriteString("  action " + a.String() + " appliesTo { principal: " + perm.TargetProcess.String() +
			", resource: [" + strings.Join(names, ", ") + "] };\n")
	}
	b.WriteString("}\n")
	return b.String()
}
