package programs

// grant is a directory that a program has, in a copy of
// examples/programs/testdata. It is made if it does not exist.
type grant struct {
	flag string // --read or --write
	dir  string
}

// program is one run, with the first grant as its working directory. In args, @
// at the beginning is the copy.
type program struct {
	name   string // of the run and of its expected output
	does   string
	pkg    string // as in examples/programs/go.mod
	args   []string
	grants []grant
	stdin  string // file beneath testdata
	status int
	writes []string // files that must be there after, and be those of the run without AgentOS
	gives  string   // the input that standard output must be
	tags   string   // build tags of the run without AgentOS
	after  string   // a run whose files this one continues with
}

const query = "SELECT p.name, SUM(o.n) AS pieces, SUM(o.n * o.cents) AS total FROM orders o " +
	"JOIN products p ON p.sku = o.sku GROUP BY p.name ORDER BY total DESC"

var programs = []program{
	{
		name: "go-md2man", does: "turns a manual page in Markdown into one for man(1)",
		pkg:    "github.com/cpuguy83/go-md2man/v2",
		args:   []string{"-in", "@/notes/harvest.1.md"},
		grants: []grant{{"--read", "notes"}},
	},
	{
		name: "gojq", does: "asks a question of a JSON file",
		pkg: "github.com/itchyny/gojq/cmd/gojq",
		args: []string{"[.orders[] | select(.paid) | {customer, total: ([.lines[] | .n * .each] | add)}] | group_by(.customer)" +
			" | map({(.[0].customer): (map(.total) | add)}) | add", "@/shop/orders.json"},
		grants: []grant{{"--read", "shop"}},
	},
	{
		// It puts its lock files beside the tables, so that reading them needs
		// writing.
		name: "csvq", does: "joins two tables in SQL",
		pkg:    "github.com/mithrandie/csvq",
		args:   []string{"--wait-timeout", "1", "-r", "@/sql", "-f", "CSV", query},
		grants: []grant{{"--write", "sql"}},
	},
	{
		name: "csvq-update", does: "changes rows in SQL and commits",
		pkg:    "github.com/mithrandie/csvq",
		args:   []string{"--wait-timeout", "1", "-r", "@/sql", "UPDATE orders SET n = n + 1 WHERE sku = 'FIG-7'; COMMIT"},
		grants: []grant{{"--write", "sql"}},
		writes: []string{"sql/orders.csv"},
	},
	{
		name: "actionlint", does: "finds the mistakes in a CI workflow",
		pkg:    "github.com/rhysd/actionlint/cmd/actionlint",
		args:   []string{"-no-color", "-shellcheck=", "-pyflakes=", "@/workflows/ci.yaml"},
		grants: []grant{{"--read", "workflows"}},
		status: 1,
	},
	{
		name: "shfmt", does: "shows how a shell script should be laid out",
		pkg:    "mvdan.cc/sh/v3/cmd/shfmt",
		args:   []string{"-i", "2", "@/scripts/weigh.sh"},
		grants: []grant{{"--read", "scripts"}},
	},
	{
		name: "gosh", does: "runs that shell script on what it reads from standard input",
		pkg:    "mvdan.cc/sh/v3/cmd/gosh",
		args:   []string{"@/scripts/weigh.sh"},
		grants: []grant{{"--read", "scripts"}},
		stdin:  "scripts/picked.txt",
	},
	{
		name: "jsonnet", does: "makes a static site, a page for each entry",
		pkg:    "github.com/google/go-jsonnet/cmd/jsonnet",
		args:   []string{"-S", "-m", "@/out", "@/site/site.jsonnet"},
		grants: []grant{{"--read", "site"}, {"--write", "out"}},
		writes: []string{"out/index.html", "out/pears.html", "out/figs.html", "out/plums.html"},
	},
	{
		name: "s2c", does: "compresses a file",
		pkg:    "github.com/klauspost/compress/s2/cmd/s2c",
		args:   []string{"-q", "-cpu", "1", "-o", "@/packed/harvest.s2", "@/notes/harvest.1.md"},
		grants: []grant{{"--read", "notes"}, {"--write", "packed"}},
		writes: []string{"packed/harvest.s2"},
		tags:   "noasm", // its assembly finds other matches than its Go
	},
	{
		name: "s2d", does: "gives back what s2c compressed",
		pkg:    "github.com/klauspost/compress/s2/cmd/s2d",
		args:   []string{"-q", "-c", "@/packed/harvest.s2"},
		grants: []grant{{"--read", "packed"}},
		gives:  "notes/harvest.1.md",
		after:  "s2c",
	},
}
