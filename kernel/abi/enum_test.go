package abi

import (
	"strings"
	"testing"
)

// enumeration is what every enumeration of this package must hold: names for
// exactly its values, each its own, and an inverse.
type enumeration struct {
	what  string
	count int
	names []string
	name  func(i int) string
	parse func(s string) (int, bool) // nil if the names are never read back
}

func enumerations() []enumeration {
	return []enumeration{
		{"file type", int(NumFileTypes), fileTypeNames, func(i int) string { return FileType(i).String() }, nil},
		{"object", int(NumObjects), objectNames, func(i int) string { return Object(i).String() }, nil},
		{"resource kind", int(NumResourceKinds), resourceKindNames, func(i int) string { return ResourceKind(i).String() }, nil},
		{"limit", int(NumLimits), limitNames, func(i int) string { return Limit(i).String() }, nil},
		{"category", int(NumCategories), categoryNames, func(i int) string { return Category(i).String() }, inverse(ParseCategory)},
		{"severity", int(NumSeverities), severityNames, func(i int) string { return Severity(i).String() }, inverse(ParseSeverity)},
		{"action", int(NumActions), actionNames, func(i int) string { return Action(i).String() }, inverse(ParseAction)},
		{"capability", int(NumCapabilities), capabilityNames, func(i int) string { return Capability(i).String() }, inverse(ParseCapability)},
		{"layer", int(NumLayers), layerNames, func(i int) string { return Layer(i).String() }, inverse(ParseLayer)},
		{"cause", int(NumCauses), causeNames, func(i int) string { return Cause(i).String() }, inverse(ParseCause)},
		{"errno", int(NumErrnos), errnoNames, func(i int) string { return Errno(i).String() }, inverse(ParseErrno)},
	}
}

func inverse[T ~uint8 | ~uint16](parse func(string) (T, bool)) func(string) (int, bool) {
	return func(s string) (int, bool) {
		v, ok := parse(s)
		return int(v), ok
	}
}

func TestEnumerations(t *testing.T) {
	for _, e := range enumerations() {
		t.Run(e.what, func(t *testing.T) {
			if len(e.names) != e.count {
				t.Fatalf("%d names for %d values", len(e.names), e.count)
			}
			seen := make(map[string]int)
			for i := range e.count {
				n := e.name(i)
				if n == "" || n == "?" || strings.TrimSpace(n) != n {
					t.Errorf("value %d is named %q", i, n)
				}
				if j, dup := seen[n]; dup {
					t.Errorf("values %d and %d are both named %q", j, i, n)
				}
				seen[n] = i
				if e.parse == nil {
					continue
				}
				if v, ok := e.parse(n); !ok || v != i {
					t.Errorf("%q parses as %d, %v; want %d", n, v, ok, i)
				}
			}
			if n := e.name(e.count); n != "?" {
				t.Errorf("the value past the end is named %q", n)
			}
			if e.parse != nil {
				for _, s := range []string{"", "?", "nonsense", strings.ToUpper(e.name(1)) + " "} {
					if v, ok := e.parse(s); ok {
						t.Errorf("%q parses as %d", s, v)
					}
				}
			}
		})
	}
}

// TestContractNames spells out the names that documents and scripts rely on, so
// that a change to one is a decision and not an accident.
func TestContractNames(t *testing.T) {
	for _, e := range enumerations() {
		want, ok := map[string]string{
			"category": "process syscall memory ipc scheduler security network performance kernel",
			"cause":    "none exited signaled killed timeout cpu_limit memory_limit output_limit policy fault setup_failed kernel_error",
			"layer":    "none capability path policy limit isolation",
			"severity": "debug info notice warning critical",
			"action":   "none read list write create delete execute connect listen signal env ipc clock random info",
		}[e.what]
		if got := strings.Join(e.names, " "); ok && got != want {
			t.Errorf("%s: got %q, want %q", e.what, got, want)
		}
	}
}

func TestErrno(t *testing.T) {
	if len(errnoTexts) != int(NumErrnos) {
		t.Fatalf("%d texts for %d error numbers", len(errnoTexts), NumErrnos)
	}
	// The three tables are parallel lists; spot values hold them together at
	// both ends and in the middle.
	for _, test := range []struct {
		errno      Errno
		name, text string
	}{
		{OK, "ok", "success"},
		{EACCES, "EACCES", "permission denied"},
		{EBADF, "EBADF", "bad file descriptor"},
		{EINVAL, "EINVAL", "invalid argument"},
		{ENOENT, "ENOENT", "no such file or directory"},
		{ENOTDIR, "ENOTDIR", "not a directory"},
		{EPERM, "EPERM", "operation not permitted"},
		{EPIPE, "EPIPE", "broken pipe"},
		{EXDEV, "EXDEV", "cross-device link"},
		{ENOTCAPABLE, "ENOTCAPABLE", "capabilities insufficient"},
	} {
		if test.errno.String() != test.name || test.errno.Error() != test.text {
			t.Errorf("%d: %q, %q; want %q, %q", test.errno, test.errno.String(), test.errno.Error(), test.name, test.text)
		}
	}
	for i := range NumErrnos {
		if i.Error() == "" {
			t.Errorf("%s has no text", i)
		}
	}
	if got := NumErrnos.Error(); got != "?" {
		t.Errorf("past the end: %q", got)
	}
}

func TestCapSet(t *testing.T) {
	if int(NumCapabilities) > 32 {
		t.Fatal("CapSet is too narrow for the capabilities")
	}
	for c := range NumCapabilities {
		s := Caps(c)
		for d := range NumCapabilities {
			want := d == c || d == CapNone
			if s.Has(d) != want {
				t.Errorf("{%s}.Has(%s) = %v", c, d, !want)
			}
		}
		if c != CapNone && s.Without(c).Has(c) {
			t.Errorf("%s is still there without it", c)
		}
	}
	all := Caps(CapFileRead, CapEnv, CapClock)
	if less := all.Without(CapEnv); less.Has(CapEnv) || !less.Has(CapFileRead) || !less.Has(CapClock) {
		t.Error("Without took the wrong one")
	}
	if !CapSet(0).Has(CapNone) || CapSet(0).Has(CapFileRead) {
		t.Error("the empty set")
	}
}

func TestSignals(t *testing.T) {
	for s, n := range signalNames {
		if s.String() != n {
			t.Errorf("%d is named %q, want %q", s, s.String(), n)
		}
		for _, spelling := range []string{n, "SIG" + n} {
			if got, ok := ParseSignal(spelling); !ok || got != s {
				t.Errorf("%q parses as %d, %v", spelling, got, ok)
			}
		}
	}
	for _, bad := range []string{"", "SIG", "term", "SIGSIGTERM", "15"} {
		if got, ok := ParseSignal(bad); ok {
			t.Errorf("%q parses as %d", bad, got)
		}
	}
	if SIGKILL != 9 || SIGTERM != 15 || SIGINT != 2 || SIGHUP != 1 {
		t.Error("signals are Linux's numbers: exit statuses are made of them")
	}
	if Signal(200).String() != "?" {
		t.Error("an unknown signal has a name")
	}
}
