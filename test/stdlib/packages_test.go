package stdlib

// How often a package is run: a set includes those before it.
const (
	smoke  = iota // with every go test
	subset        // in CI
	all           // make conformance
)

// A view is what a program under test finds as its file system.
const (
	memory = "memory" // the default: a private /tmp in memory
	root   = "root"   // an empty directory of the host as /, with a tmp of its own
)

// row is a package of the standard library and what its tests need. All of them
// can read GOROOT, begin in the directory of their sources, and have PWD and
// TMPDIR.
type row struct {
	pkg   string
	set   int
	views []string // default: memory
	read  []string // files of the host besides GOROOT
	slow  string   // tests that only the full run does, as go test -skip takes them
}

var both = []string{memory, root}

var rows = []row{
	{pkg: "bufio", set: subset},
	{pkg: "internal/poll", set: smoke},
	{pkg: "syscall", set: smoke},
	{pkg: "io/fs", set: subset, views: both},
	{pkg: "os", set: subset, views: both},
	{pkg: "path/filepath", set: subset, views: both},
	// The four spend half a minute on the scheduler of the Go runtime.
	{pkg: "time", set: subset, slow: "TestResetResult|TestStopResult|TestTimerGC|TestChan"},

	{pkg: "archive/tar", set: all, views: both},
	{pkg: "archive/zip", set: all},
	{pkg: "bytes", set: all},
	{pkg: "compress/bzip2", set: all},
	{pkg: "compress/flate", set: all},
	{pkg: "compress/gzip", set: all},
	{pkg: "compress/lzw", set: all},
	{pkg: "compress/zlib", set: all},
	{pkg: "container/heap", set: all},
	{pkg: "container/list", set: all},
	{pkg: "container/ring", set: all},
	{pkg: "context", set: all, read: []string{"/etc/hosts"}}, // an example listens on localhost
	{pkg: "embed/internal/embedtest", set: all},
	{pkg: "encoding/asn1", set: all},
	{pkg: "encoding/base64", set: all},
	{pkg: "encoding/binary", set: all},
	{pkg: "encoding/csv", set: all},
	{pkg: "encoding/gob", set: all},
	{pkg: "encoding/hex", set: all},
	{pkg: "encoding/json", set: all},
	{pkg: "encoding/pem", set: all},
	{pkg: "encoding/xml", set: all},
	{pkg: "errors", set: all},
	{pkg: "flag", set: all},
	{pkg: "fmt", set: all},
	{pkg: "go/format", set: all},
	{pkg: "go/parser", set: all},
	{pkg: "go/printer", set: all},
	{pkg: "hash/crc32", set: all},
	{pkg: "hash/maphash", set: all},
	{pkg: "html/template", set: all},
	{pkg: "io", set: all},
	{pkg: "io/ioutil", set: all, views: both},
	{pkg: "iter", set: all},
	{pkg: "log", set: all},
	{pkg: "log/slog", set: all},
	{pkg: "maps", set: all},
	{pkg: "math", set: all},
	{pkg: "math/big", set: all},
	{pkg: "math/rand", set: all},
	{pkg: "mime", set: all, read: []string{"/etc/mime.types"}},
	// The sockets are the imitation that package net brings for wasip1; names
	// are looked up in the host's files.
	{pkg: "net", set: all, read: []string{"/etc/hosts"}},
	{pkg: "net/mail", set: all},
	{pkg: "net/netip", set: all},
	{pkg: "net/textproto", set: all},
	{pkg: "net/url", set: all},
	{pkg: "path", set: all},
	{pkg: "regexp", set: all},
	{pkg: "regexp/syntax", set: all},
	{pkg: "slices", set: all},
	{pkg: "sort", set: all},
	{pkg: "strconv", set: all},
	{pkg: "strings", set: all},
	{pkg: "sync", set: all},
	{pkg: "testing/fstest", set: all, views: both},
	{pkg: "text/scanner", set: all},
	{pkg: "text/tabwriter", set: all},
	{pkg: "text/template", set: all},
	{pkg: "unicode/utf8", set: all},
}
