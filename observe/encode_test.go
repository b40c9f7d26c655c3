package observe

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/agentos-kernel/agentos/kernel/abi"
	"github.com/agentos-kernel/agentos/kernel/event"
)

func TestAppendJSON(t *testing.T) {
	for _, test := range []struct {
		name string
		rec  event.Record
		want string
	}{
		{"operation", event.Record{
			ID: 33, Parent: 32, Chain: 1000, PID: 3, Category: abi.CatSyscall, Severity: abi.Info,
			Kind: event.KindSyscall(abi.SysOpen), Errno: abi.ENOENT,
			TimeNS: 1_700_000_000_000_000_007, DurNS: 1234, A: 3, B: 0, Text: "/data/ü\"\n\xff\\", Via: "path_open",
		}, `{"version":1,"seq":7,"id":"11","time":"2023-11-14T22:13:20.000000007Z","run":"01R","pid":3,"category":"syscall","kind":"open","via":"path_open","severity":"info","chain":"v8","parent":"10","dur_ns":1234,"weight":1,"outcome":"ENOENT","attrs":{"fd":3,"opened_fd":0,"path":"/data/ü\"\u000a\\xff\\\\"}}`},
		{"bare", event.Record{Category: abi.CatKernel, Kind: event.KindDegraded, TimeNS: 1e9},
			`{"version":1,"seq":7,"id":"","time":"1970-01-01T00:00:01Z","run":"01R","pid":0,"category":"kernel","kind":"degraded","via":"","severity":"debug","chain":"","parent":"","dur_ns":0,"weight":1,"outcome":"ok","attrs":{}}`},
		{"denial", event.Record{
			ID: 1, PID: 1, Category: abi.CatSecurity, Severity: abi.Warning, Kind: event.KindDenial, Errno: abi.EACCES, TimeNS: 1e9,
			A: uint64(abi.SysOpen), B: uint64(abi.LayerPath), Text: "/etc/shadow", Text2: "no grant covers it", Cut: true,
		}, `{"version":1,"seq":7,"id":"1","time":"1970-01-01T00:00:01Z","run":"01R","pid":1,"category":"security","kind":"denial","via":"","severity":"warning","chain":"","parent":"","dur_ns":0,"weight":1,"outcome":"EACCES","attrs":{"syscall":"open","layer":"path","path":"/etc/shadow","rule":"no grant covers it","truncated":true}}`},
		{"absent", event.Record{
			ID: 1, PID: 1, Category: abi.CatSyscall, Kind: event.KindSyscall(abi.SysStat), TimeNS: 1e9, A: event.Absent, TextLost: true,
		}, `{"version":1,"seq":7,"id":"1","time":"1970-01-01T00:00:01Z","run":"01R","pid":1,"category":"syscall","kind":"stat","via":"","severity":"debug","chain":"","parent":"","dur_ns":0,"weight":1,"outcome":"ok","attrs":{"text_lost":true}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := string(AppendJSON(nil, 7, "01R", &test.rec))
			if got != test.want+"\n" {
				t.Errorf("got  %swant %s", got, test.want)
			}
			if !json.Valid([]byte(got)) {
				t.Error("not JSON")
			}
		})
	}
}

// TestEveryKind encodes an event of every kind, known or not, and expects a
// document with the kind's attributes.
func TestEveryKind(t *testing.T) {
	for _, k := range append(event.Kinds(), 255, 65535) {
		rec := event.Record{Kind: k, Category: 200, Severity: 200, Errno: 60000, A: 1, B: 2, Text: "t", Text2: "u"}
		var doc struct {
			Kind  string         `json:"kind"`
			Attrs map[string]any `json:"attrs"`
		}
		line := AppendJSON(nil, 1, "", &rec)
		if err := json.Unmarshal(line, &doc); err != nil {
			t.Fatalf("%v: %v\n%s", k, err, line)
		}
		if doc.Kind != k.String() {
			t.Errorf("%v is written as %q", k, doc.Kind)
		}
		want := 0
		info := k.Info()
		for _, name := range []string{info.A.Name, info.B.Name, info.Text.Name, info.Text2.Name} {
			if name == "" {
				continue
			}
			want++
			if _, ok := doc.Attrs[name]; !ok {
				t.Errorf("%v: no attribute %q in %s", k, name, line)
			}
		}
		if len(doc.Attrs) != want {
			t.Errorf("%v: %d attributes, want %d: %s", k, len(doc.Attrs), want, line)
		}
	}
}

func checkText(t *testing.T, s string) {
	t.Helper()
	enc := appendText(nil, s)
	if !utf8.Valid(enc) {
		t.Fatalf("%q is written as %q, which is not UTF-8", s, enc)
	}
	for _, r := range string(enc) {
		if r < 0x20 || r == 0x7f || deceptive(r) {
			t.Fatalf("%q is written with the character %U", s, r)
		}
	}
	var dec string
	if err := json.Unmarshal(enc, &dec); err != nil {
		t.Fatalf("%q is written as %q: %v", s, enc, err)
	}
	if got, ok := Unescape(dec); !ok || got != s {
		t.Fatalf("%q comes back as %q, %v", s, got, ok)
	}
}

var texts = []string{
	"", "plain", "/data/ü", "\x00\x01\x1f\x7f", `\`, `\\`, `\xff`, "\xff", "\xc3", "a\xc3\x28b", "\xed\xa0\x80",
	"\"'</script>", "\u2028\u2029\u202e\u200b\ufeff\u0085", "\U0001f600", "\ufffd", "\\x4", strings.Repeat("\xfe", 300),
}

func TestText(t *testing.T) {
	for _, s := range texts {
		checkText(t, s)
	}
	for _, s := range []string{`\`, `\q`, `\x`, `\x4`, `\xzz`, `a\`} {
		if got, ok := Unescape(s); ok {
			t.Errorf("Unescape(%q) = %q", s, got)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkText(t, s)
		// Redaction and hostile escapes must hold whatever they are given.
		_, _ = Unescape(s)
		for form := event.Path; form <= event.Env+1; form++ {
			redact(form, s)
		}
	})
}

func TestRedact(t *testing.T) {
	for _, test := range []struct {
		form     event.Form
		in, want string
	}{
		{event.Path, "/a?b=c#d://e@f", "/a?b=c#d://e@f"},
		{event.Env, "KEY=hunter2", "KEY=[redacted]"},
		{event.Env, "KEY=a=b", "KEY=[redacted]"},
		{event.Env, "KEY", "KEY"},
		{event.URL, "https://example.org/a/b", "https://example.org/a/b"},
		{event.URL, "https://example.org/a?token=hunter2&x=y", "https://example.org/a?[redacted]"},
		{event.URL, "https://example.org/a#hunter2?", "https://example.org/a#[redacted]"},
		{event.URL, "https://me:hunter2@example.org/a?b", "https://[redacted]@example.org/a?[redacted]"},
		{event.URL, "https://me:hunter2@", "https://[redacted]@"},
		{event.URL, "https://example.org/@at", "https://example.org/@at"},
		{event.URL, "me:hunter2@example.org:443", "[redacted]@example.org:443"},
		{event.Prose, "plain? yes", "plain? yes"},
		{event.Prose, `Get "https://u:hunter2@h/p?q=hunter2": refused; see ftp://x?hunter2`, `Get "https://[redacted]@h/p?[redacted]": refused; see ftp://x?[redacted]`},
		{event.Prose, "://", "://"},
	} {
		got := redact(test.form, test.in)
		if got != test.want {
			t.Errorf("redact(%d, %q) = %q, want %q", test.form, test.in, got, test.want)
		}
		if test.form != event.Path && strings.Contains(got, "hunter2") {
			t.Errorf("redact(%d, %q) = %q tells the secret", test.form, test.in, got)
		}
	}
}
