package deps

// Third-party modules by short name; see licences_test.go for why each is here.
const (
	wazero     = "github.com/tetratelabs/wazero"
	cobra      = "github.com/spf13/cobra"
	pflag      = "github.com/spf13/pflag"
	toml       = "github.com/pelletier/go-toml/v2"
	cedar      = "github.com/cedar-policy/cedar-go"
	xsys       = "golang.org/x/sys"
	xterm      = "golang.org/x/term"
	goleak     = "go.uber.org/goleak"
	testscript = "github.com/rogpeppe/go-internal"
	otter      = "github.com/maypok86/otter/v2"
	ristretto  = "github.com/dgraph-io/ristretto/v2"
)

// room is one row of the lattice: a package, what of this module it may import,
// and which third-party modules. Paths are relative to the module; "." is the
// root package; "x/..." is x and everything beneath it. A test may also import
// what inTests says, what its package's imports may import in turn, the package
// itself and its subpackages, and goleak.
type room struct {
	path    string
	may     []string
	third   []string
	inTests []string
}

// lattice is the list of the tree in docs/ARCHITECTURE.md, bottom to top. A row
// may only name rows above it, so that the list is an order of the layers.
var lattice = []room{
	// Mechanisms without a noun of the operating system.
	{path: "internal/deps"},
	{path: "internal/invariants"},
	{path: "internal/linediff"},
	{path: "internal/nearest"},
	{path: "internal/pseudofs", third: []string{xsys}},
	{path: "internal/idtable", may: []string{"internal/invariants"}},

	// The vocabulary, then the parts of the kernel, lowest first.
	{path: "kernel/abi"},
	{path: "internal/sysdoc", may: []string{"kernel/abi"}},
	{path: "internal/statedir", may: []string{"internal/invariants"}, third: []string{xsys}},
	{path: "internal/control", may: []string{"kernel/abi", "internal/statedir"}, third: []string{xsys}},
	{path: "kernel/event", may: []string{"kernel/abi", "internal/invariants"}, third: []string{xsys}},
	{path: "kernel/limit", may: []string{"kernel/abi", "internal/invariants"}},
	{path: "kernel/perm", may: []string{"kernel/abi", "kernel/event", "internal/invariants"}},
	{path: "kernel/perm/permtest", may: []string{"kernel/abi", "kernel/perm"}},
	{path: "kernel/perm/cedar", inTests: []string{"kernel/perm/permtest"}, may: []string{"kernel/abi", "kernel/perm", "internal/nearest"}, third: []string{cedar}},
	{path: "kernel/sched", may: []string{"kernel/abi", "kernel/event", "internal/invariants"}},
	{path: "kernel/resource", may: []string{"kernel/abi", "kernel/event", "internal/invariants"}},
	{path: "kernel/mem", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "internal/invariants"}, third: []string{xsys}},
	{path: "kernel/vfs", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/perm", "internal/invariants"}, third: []string{xsys},
		inTests: []string{"kernel/vfs/..."}},
	{path: "kernel/vfs/fstest", may: []string{"kernel/abi", "kernel/limit", "kernel/perm", "kernel/vfs"},
		inTests: []string{"kernel/vfs/..."}},
	{path: "kernel/vfs/memfs", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/vfs", "internal/invariants"},
		inTests: []string{"kernel/vfs/..."}},
	{path: "kernel/vfs/devfs", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/vfs", "internal/invariants"},
		inTests: []string{"kernel/vfs/..."}},
	{path: "kernel/vfs/hostfs", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/vfs", "internal/invariants", "internal/pseudofs"},
		third: []string{xsys}, inTests: []string{"kernel/vfs/..."}},
	{path: "kernel/net", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/perm", "kernel/vfs", "internal/invariants"}, third: []string{xsys}},
	{path: "kernel/vfs/overlayfs", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/vfs", "kernel/vfs/hostfs",
		"internal/invariants"}, inTests: []string{"kernel/vfs/..."}},
	{path: "kernel/vfs/overlayfs/commit", may: []string{"kernel/abi", "kernel/perm", "kernel/vfs", "kernel/vfs/overlayfs"},
		inTests: []string{"kernel/vfs/..."}},
	{path: "kernel/proc", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/perm", "kernel/sched", "kernel/mem",
		"kernel/vfs", "internal/idtable", "internal/invariants"}, inTests: []string{"kernel/vfs/..."}},

	// The contracts of those who execute programs, and the gate to the kernel.
	{path: "guest", may: []string{"kernel/abi"}},
	{path: "kernel/gate", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/perm", "kernel/sched", "kernel/mem",
		"kernel/vfs", "kernel/proc", "kernel/resource", "guest", "internal/invariants"}, inTests: []string{"kernel/vfs/..."}},
	{path: "kernel/gate/file", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/perm", "kernel/vfs", "kernel/proc",
		"kernel/gate", "internal/invariants"}, inTests: []string{"kernel/vfs/..."}},
	{path: "kernel/gate/proc", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/perm", "kernel/sched", "kernel/vfs",
		"kernel/proc", "kernel/gate", "internal/invariants"}, inTests: []string{"kernel/vfs/..."}},
	{path: "kernel/gate/net", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/net", "kernel/perm", "kernel/vfs", "kernel/proc",
		"kernel/gate", "internal/invariants"}},
	{path: "kernel", may: []string{"kernel/abi", "kernel/event", "kernel/limit", "kernel/perm", "kernel/sched", "kernel/mem",
		"kernel/vfs", "kernel/vfs/memfs", "kernel/vfs/devfs", "kernel/vfs/hostfs", "kernel/proc", "kernel/resource",
		"kernel/gate", "kernel/gate/file", "kernel/gate/net", "kernel/gate/proc", "guest", "internal/idtable", "internal/invariants"}},

	// The WASM domain: it knows the contracts and nothing of the kernel.
	{path: "guest/wasm/rewrite", inTests: []string{"guest/wasm/..."}},
	{path: "guest/wasm/wasip1", may: []string{"kernel/abi", "guest", "internal/invariants"}, third: []string{wazero}},
	{path: "guest/wasm", may: []string{"kernel/abi", "guest", "guest/wasm/rewrite", "guest/wasm/wasip1", "internal/invariants"},
		third: []string{wazero, xsys}, inTests: []string{"kernel/mem", "kernel/limit", "kernel/event", "test/hostile"}},

	// The native domain: its parts know the contract and the host's kernel, and nothing
	// of ours.
	{path: "guest/native/cgroup", third: []string{xsys}},
	{path: "guest/native/landlock", third: []string{xsys}},
	{path: "guest/native/program", may: []string{"guest"}, third: []string{xsys}},
	{path: "guest/native/seccomp", third: []string{xsys}},
	{path: "guest/native/attempt", may: []string{"guest/native/seccomp"}, third: []string{xsys}},
	{path: "guest/native/stream", third: []string{xsys}},
	{path: "guest/native/view", may: []string{"guest", "internal/pseudofs"}, third: []string{xsys}},
	{path: "guest/native/stub", third: []string{xsys}},
	{path: "guest/native/launch", may: []string{"guest", "guest/native/cgroup", "guest/native/landlock", "guest/native/seccomp", "guest/native/stub",
		"guest/native/view"}, third: []string{xsys}},
	{path: "guest/native/remote", may: []string{"guest", "guest/native/launch"}, third: []string{xsys}, inTests: []string{"guest/native/view"}},
	{path: "guest/native", may: []string{"kernel/abi", "guest", "guest/native/launch", "guest/native/remote", "guest/native/stream"}, third: []string{xsys}},

	// What becomes of source before a domain executes it.
	{path: "guest/gobuild", third: []string{xsys}},

	// What looks on, and what reads a person's wishes.
	{path: "observe", may: []string{"kernel/abi", "kernel/event"}},
	{path: "observe/audit"},
	{path: "manifest", may: []string{"kernel/abi", "internal/nearest"}, third: []string{toml}},
	{path: "test/assemble"},
	{path: "test/hostile", may: []string{"test/assemble"}},
	{path: "test/records"},
	{path: "test/guests", may: []string{"test/records"}},
	{path: "examples"},
	{path: "examples/demo"},
	{path: "examples/build"},

	// The wiring, and the front ends over it.
	{path: ".", may: []string{"kernel", "kernel/...", "guest", "guest/gobuild", "guest/wasm", "guest/native", "guest/native/attempt",
		"guest/native/program", "guest/native/view", "observe", "observe/audit", "internal/statedir", "internal/control", "internal/idtable", "internal/invariants"}, third: []string{xsys, xterm}, inTests: []string{"examples", "test/hostile", "test/records"}},
	{path: "ui/cli", may: []string{".", "kernel/abi", "kernel/perm/cedar", "manifest", "observe", "observe/audit", "internal/statedir", "internal/control", "internal/sysdoc",
		"internal/linediff", "internal/nearest", "examples"}, third: []string{cobra, pflag, xterm, xsys}},
	{path: "cmd/agentos", may: []string{".", "ui/cli"}},
	{path: "test/stdlib"},
	{path: "test/programs"},
	{path: "test/escape"},
	{path: "test/native"},
	{path: "test/script", inTests: []string{"."}},
	{path: "test/bench", inTests: []string{".", "kernel/...", "guest/...", "observe", "examples", "test/assemble", "test/hostile"}},
	{path: "test/attack/guest"},
	{path: "test/attack", inTests: []string{".", "kernel/...", "guest/wasm/wasip1"}},
	{path: "test/conformance/guest"},
	{path: "test/conformance", inTests: []string{".", "kernel/...", "guest/...", "examples", "test/hostile"}},
}

// testOnly are the third-party modules that tests may import, and where.
var testOnly = map[string][]string{
	goleak:     {"..."},
	testscript: {"test/script", "ui/cli"},
	wazero:     {"guest/wasm/...", "test/bench", "test/conformance", "examples"},
	xsys:       {"..."},
	otter:      {"test/bench"},
	ristretto:  {"test/bench"},
}

// planned are rows whose package a later change brings. A row leaves this list
// when its package lands; the test fails if it stays.
var planned = []string{}

// confined are standard packages that only some rooms may import in product
// code, with the reason.
var confined = []struct {
	pkg    string
	rooms  []string
	reason string
}{
	{"log", nil, "the kernel emits events; only edges log, with log/slog"},
	{"log/slog", []string{".", "ui/cli", "cmd/agentos"}, "the kernel emits events; only edges log"},
	{"os/exec", []string{"guest/wasm", "examples/build"}, "a kernel that starts host programs is a hole; the compile child is the one exception"},
	{"net", []string{"internal/control", "internal/statedir", "kernel/net", ".", "manifest", "ui/cli", "test/guests"}, "sockets are a run's own control socket and the listeners of kernel/net; manifest reads addresses"},
	{"net/http", nil, "nothing here speaks HTTP yet"},
	{"plugin", nil, "code is not loaded at run time"},
	{"math/rand", nil, "identifiers and guest randomness come from crypto/rand; sampling and tests use math/rand/v2"},
	{"C", nil, "pure Go"},
	{"flag", []string{"examples/build"}, "flags of the product are declared in ui/cli"},
}

// mutableRooms hold package variables on purpose.
var mutableRooms = []string{
	"internal/invariants", // the counters of a build tag that no release is built with
}

// unsafeRooms may import unsafe, in files whose name says so or that belong to
// one platform.
var unsafeRooms = []string{"kernel/mem", "kernel/event", "kernel/vfs/hostfs", "guest/wasm", "guest/native/attempt", "guest/native/landlock", "guest/native/launch",
	"guest/native/seccomp", "guest/native/view", "internal/statedir", "internal/control", "test/conformance/guest", "test/attack/guest"}

// badNames are package names that say nothing.
var badNames = []string{"util", "utils", "common", "type", "types", "manager", "impl", "helper", "helpers", "core", "misc", "base", "shared"}
