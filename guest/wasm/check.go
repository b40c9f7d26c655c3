package wasm

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
	"github.com/agentos-kernel/agentos/guest/wasm/wasip1"
)

// refuse builds the error for a program that cannot run.
func refuse(reason, fix string, args ...any) *guest.LoadError {
	return &guest.LoadError{Kind: guest.NotRunnable, Reason: fmt.Sprintf(reason, args...), Fix: fix}
}

// others are the beginnings of files that people take for programs.
var others = []struct{ magic, what string }{
	{"\x7fELF", "an ELF executable for a real processor"},
	{"MZ", "a Windows executable"},
	{"\xcf\xfa\xed\xfe", "a macOS executable"},
	{"\xca\xfe\xba\xbe", "a macOS universal executable or Java class"},
	{"#!", "a script"},
	{"(module", "WebAssembly text, which must be assembled first"},
	{"(component", "WebAssembly text, which must be assembled first"},
	{"PK\x03\x04", "a ZIP archive"},
	{"\x1f\x8b", "a gzip archive"},
	{"!<arch>", "a static library"},
	{"BC\xc0\xde", "LLVM bitcode"},
}

const needModule = "give a module of WASI preview 1, such as GOOS=wasip1 GOARCH=wasm go build makes"

// recognize refuses what is not a core WebAssembly module by its first bytes.
func recognize(image []byte, limit uint64) error {
	if uint64(len(image)) > limit {
		return &guest.LoadError{Kind: guest.TooCostly, Reason: fmt.Sprintf("module of %d bytes, the limit is %d", len(image), limit)}
	}
	if len(image) == 0 {
		return refuse("empty file, not a WebAssembly module", needModule)
	}
	if !bytes.HasPrefix(image, []byte("\x00asm")) {
		if n := len(image); n < 4 && string(image) == "\x00asm"[:n] {
			return refuse("truncated: %d bytes of a WebAssembly module", "", n)
		}
		for _, o := range others {
			if bytes.HasPrefix(image, []byte(o.magic)) {
				return refuse("not a WebAssembly module: %s", needModule, o.what)
			}
		}
		return refuse(`not a WebAssembly module: it begins with %q instead of "\x00asm"`, needModule, image[:min(4, len(image))])
	}
	if len(image) < 8 {
		return refuse("truncated: %d bytes of a WebAssembly module", "", len(image))
	}
	switch v := string(image[4:8]); v {
	case "\x01\x00\x00\x00":
		return nil
	case "\x0d\x00\x01\x00":
		return refuse("this is a component (preview 2); only core modules of WASI preview 1 run here",
			"build for wasip1 (wasm32-wasip1), or take the core module out with wasm-tools")
	default:
		return refuse("unsupported version of WebAssembly: % x at offset 4, expected 01 00 00 00", needModule, v)
	}
}

// importHints say what a module that imports from elsewhere was built for.
var importHints = []struct{ prefix, fix string }{
	{"wasi_unstable", "rebuild with a toolchain for wasi_snapshot_preview1"},
	{"wasi:", "build for wasip1 (wasm32-wasip1) instead of preview 2"},
	{"go", "build with GOOS=wasip1 instead of GOOS=js"},
	{"gojs", "build with GOOS=wasip1 instead of GOOS=js"},
	{"wbg", "build without wasm-bindgen, for wasm32-wasip1"},
	{"__wbindgen", "build without wasm-bindgen, for wasm32-wasip1"},
	{"env", "link for WASI; functions of env come from a host program or a missing library"},
	{"a", "build with -sSTANDALONE_WASM"},
}

// checkImports refuses imports that nobody provides, naming them.
func checkImports(imports []importFact) error {
	type function struct{ module, name string }
	functions := make(map[function]string)
	for _, f := range wasip1.Functions() {
		functions[function{wasip1.Module, f.Name}] = signature(&f)
	}
	for _, f := range wasip1.Own() {
		functions[function{wasip1.OwnModule, f.Name}] = signature(&f)
	}
	var unknown []string
	fix := ""
	for _, i := range imports {
		have, ok := functions[function{i.Module, i.Name}]
		switch {
		case !ok || i.Kind != "function":
			unknown = append(unknown, fmt.Sprintf("%s.%s (%s)", i.Module, i.Name, i.Kind))
			for _, h := range importHints {
				if fix == "" && (i.Module == h.prefix || len(h.prefix) > 3 && strings.HasPrefix(i.Module, h.prefix)) {
					fix = h.fix
				}
			}
		case i.Type != have:
			return refuse("import %s.%s has type %s, expected %s", "rebuild with a current toolchain for WASI preview 1", i.Module, i.Name, i.Type, have)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	if fix == "" {
		fix = "only the functions of " + wasip1.Module + ", and last_denial of " + wasip1.OwnModule + ", are provided"
	}
	const most = 8
	more := ""
	if n := len(unknown) - most; n > 0 {
		unknown, more = unknown[:most], fmt.Sprintf(" and %d more", n)
	}
	return refuse("unknown import %s%s", fix, strings.Join(unknown, ", "), more)
}

// signature prints the type of a function as facts do.
func signature(f *wasip1.Function) string {
	var b strings.Builder
	b.WriteByte('(')
	for i, p := range f.Params {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(map[rune]string{'i': "i32", 'I': "i64"}[p])
	}
	b.WriteString(")->(")
	if !f.NoError {
		b.WriteString("i32")
	}
	b.WriteByte(')')
	return b.String()
}

// checkEntry refuses modules that are not commands.
func checkEntry(exports map[string]string) error {
	t, ok := exports[entryExport]
	switch {
	case ok && t == "()->()":
		return nil
	case ok:
		return refuse("the export %s has type %s, expected ()->()", "", entryExport, t)
	}
	if _, reactor := exports["_initialize"]; reactor {
		return refuse("a reactor, which is a library: it exports _initialize but no _start", "build it as a command (without -buildmode=c-shared or -mexec-model=reactor)")
	}
	return refuse("the module exports no _start function, so there is nothing to run", "build it as a command for wasip1")
}

// entryExport is the function that a command begins in.
const entryExport = "_start"
