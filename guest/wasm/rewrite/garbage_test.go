package rewrite

import (
	"errors"
	"testing"
)

// checkGarbage holds whatever bytes come: no panic, a typed error with an
// offset inside, the same output twice, and the engine accepts both or none of
// the original and the output.
func checkGarbage(t *testing.T, valid func([]byte) error, wasm []byte) {
	t.Helper()
	res, err := Rewrite(wasm, Options{StripStart: true, ExportGlobals: true})
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Reason == "" || e.Offset < 0 || e.Offset > len(wasm) || res != nil {
			t.Fatalf("a poor error: %#v", err)
		}
		return
	}
	again, err := Rewrite(wasm, Options{StripStart: true, ExportGlobals: true})
	if err != nil || string(again.Module) != string(res.Module) {
		t.Fatalf("not the same the second time: %v", err)
	}
	was := valid(withoutCustom(wasm))
	is := valid(res.Module)
	if (was == nil) != (is == nil) {
		t.Fatalf("% x\noriginal:  %v\nrewritten: %v", wasm, was, is)
	}
}

// withoutCustom drops custom sections, which cannot make a module invalid, but
// which the engine refuses when they are malformed.
func withoutCustom(wasm []byte) []byte {
	out := append([]byte(nil), wasm[:8]...)
	r := &reader{b: wasm, pos: 8, end: len(wasm)}
	for r.err == nil && r.pos < len(wasm) {
		id := r.byte()
		content := r.bytes(int(r.u32()))
		if id != secCustom {
			out = appendSection(out, id, content)
		}
	}
	return out
}

func FuzzRewriteGarbage(f *testing.F) {
	for seed := range uint64(6) {
		f.Add(generateWith(seed, 200))
	}
	f.Add(small().bytes())
	f.Add(opModule(opUnreachable))
	valid := validator(f)
	f.Fuzz(func(t *testing.T, wasm []byte) {
		if len(wasm) > 1<<16 {
			return // not worth the time
		}
		checkGarbage(t, valid, wasm)
	})
}

// TestGarbage changes bytes of valid modules, so that ordinary tests see some of
// what fuzzing looks for.
func TestGarbage(t *testing.T) {
	valid := validator(t)
	accepted, all := 0, 0
	for seed := range uint64(3) {
		wasm := generateWith(seed, 200)
		for i := 8; i < min(len(wasm), 4000); i += 1 + i/40 {
			for _, c := range []byte{wasm[i] + 1, wasm[i] ^ 0x80, 0x0b} {
				was := wasm[i]
				wasm[i] = c
				checkGarbage(t, valid, wasm)
				if _, err := Rewrite(wasm, Options{}); err == nil {
					accepted++
				}
				wasm[i] = was
				all++
			}
		}
	}
	if accepted == 0 || accepted == all {
		t.Errorf("%d of %d accepted: nothing was tested", accepted, all)
	}
}
