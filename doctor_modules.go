package agentos

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// Exit statuses of the module that looks for a secret.
const (
	moduleFound   = 3
	moduleNothing = 4 // it did not even find what it was granted
)

// wasmAttempts tries violations in modules. In the directory shown there are the file
// plain and the links way-out and way-up to secret, which lies beside it.
func (k *Kernel) wasmAttempts(d *Diagnosis, secret, shown string) {
	parts := make([]Check, 3)
	var all sync.WaitGroup
	all.Go(func() { parts[0] = k.trySecret(secret, shown) })
	all.Go(func() {
		parts[1] = k.tryModule(growModule(), Limits{Memory: 16 << 20, Timeout: 10 * time.Second}, "memory", func(r *Report) bool {
			return r.Cause == "exited" && r.ExitCode == 0 || r.Cause == "memory_limit"
		}, "fault")
		parts[1].Name, parts[1].Tried = "wasm.memory", "use more memory than it may"
	})
	all.Go(func() {
		parts[2] = k.tryModule(spinModule(), Limits{CPUTime: 100 * time.Millisecond, Timeout: 5 * time.Second}, "cpu_time", func(r *Report) bool {
			return r.Cause == "cpu_limit"
		}, "timeout")
		parts[2].Name, parts[2].Tried = "wasm.cpu_time", "use more processor time than it may"
	})
	all.Wait()
	for _, c := range parts {
		d.attempt(c)
	}
}

// tryModule runs a module that held says was stopped, and that has escaped if it ends
// by the other cause.
func (k *Kernel) tryModule(image []byte, l Limits, by string, held func(*Report) bool, escaped string) Check {
	r, err := k.runModule(image, l)
	switch {
	case err != nil:
		return Check{Outcome: OutcomeUnknown, Detail: err.Error()}
	case held(r):
		return Check{Outcome: OutcomeHeld, StoppedBy: k.enforced[by], Detail: r.Detail}
	case r.Cause == escaped:
		return Check{Outcome: OutcomeEscaped, Detail: "nothing stopped it"}
	}
	return Check{Outcome: OutcomeUnknown, Detail: fmt.Sprintf("it ended by %s (%d): %s", r.Cause, r.ExitCode, r.Detail)}
}

func (k *Kernel) runModule(image []byte, l Limits, grants ...Grant) (*Report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return k.Run(ctx, Spec{Program: "self-test", Image: image, Limits: l, Grants: grants, unrecorded: true})
}

// trySecret has a module with a read grant look for a file beside it, by every way out
// that there is: an absolute path, upwards, and by symbolic links.
func (k *Kernel) trySecret(secret, shown string) Check {
	c := Check{Name: "wasm.secret", Tried: "read a file that was not granted", Outcome: OutcomeUnknown}
	r, err := k.runModule(openModule("plain", secret, "../secret", "way-out", "way-up"), Limits{Timeout: 10 * time.Second}, Grant{Kind: GrantRead, Host: shown})
	switch {
	case err != nil:
		c.Detail = err.Error()
	case r.Cause == "exited" && r.ExitCode == 0:
		c.Outcome, c.StoppedBy = OutcomeHeld, k.enforced["files"]
	case r.Cause == "exited" && r.ExitCode == moduleFound:
		c.Outcome, c.Detail = OutcomeEscaped, "nothing stopped it"
	default:
		c.Detail = fmt.Sprintf("it ended by %s (%d): %s", r.Cause, r.ExitCode, r.Detail)
	}
	return c
}

// Pieces of the binary format of modules.
const (
	opUnreachable, opLoop, opIf, opEnd, opBr = "\x00", "\x03\x40", "\x04\x40", "\x0b", "\x0c"
	opCall, opGrow, opEqz, opNe              = "\x10", "\x40\x00", "\x45", "\x47"
)

func i32(n int64) string { return "\x41" + signed(n) }
func i64(n int64) string { return "\x42" + signed(n) }

func unsigned(n int) string { return string(binary.AppendUvarint(nil, uint64(n))) }

// signed encodes in the signed variant of LEB128.
func signed(n int64) string {
	var b []byte
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return string(append(b, c))
		}
		b = append(b, c|0x80)
	}
}

func sized(s string) string                  { return unsigned(len(s)) + s }
func section(id byte, content string) string { return string([]byte{id}) + sized(content) }

const moduleHead = "\x00asm\x01\x00\x00\x00"

// growModule asks for 256 MiB and breaks if it gets them.
func growModule() []byte {
	code := "\x00" + i32(4096) + opGrow + i32(-1) + opNe + opIf + opUnreachable + opEnd + opEnd
	return []byte(moduleHead + section(1, "\x01\x60\x00\x00") + section(3, "\x01\x00") + section(5, "\x01\x00\x01") +
		section(7, "\x01"+sized("_start")+"\x00\x00") + section(10, "\x01"+sized(code)))
}

// spinModule never ends.
func spinModule() []byte {
	code := "\x00" + opLoop + opBr + "\x00" + opEnd + opEnd
	return []byte(moduleHead + section(1, "\x01\x60\x00\x00") + section(3, "\x01\x00") +
		section(7, "\x01"+sized("_start")+"\x00\x00") + section(10, "\x01"+sized(code)))
}

// openModule opens paths in every directory that it may have, and exits with
// moduleFound if it can open one of others, or with moduleNothing if it cannot open
// granted.
func openModule(granted string, others ...string) []byte {
	const result = 0 // where the descriptor is written
	data, at := "", int64(16)
	// opened leaves 0 on the stack if the path can be opened from descriptor fd.
	opened := func(fd int64, path string) string {
		s := i32(fd) + i32(1) + i32(at) + i32(int64(len(path))) + i32(0) + i64(2) + i64(0) + i32(0) + i32(result) + opCall + "\x00"
		return s
	}
	exit := func(code int64) string { return i32(code) + opCall + "\x01" }
	body := "\x00"
	add := func(path string, then func(fd int64) string) {
		for fd := int64(3); fd <= 4; fd++ {
			body += opened(fd, path) + then(fd)
		}
		data += path
		at += int64(len(path))
	}
	for _, p := range others {
		add(p, func(int64) string { return opEqz + opIf + exit(moduleFound) + opEnd })
	}
	add(granted, func(int64) string { return opEqz + opIf + exit(0) + opEnd })
	body += exit(moduleNothing) + opEnd
	types := "\x03" + "\x60\x09\x7f\x7f\x7f\x7f\x7f\x7e\x7e\x7f\x7f\x01\x7f" + "\x60\x01\x7f\x00" + "\x60\x00\x00"
	wasi := sized("wasi_snapshot_preview1")
	imports := "\x02" + wasi + sized("path_open") + "\x00\x00" + wasi + sized("proc_exit") + "\x00\x01"
	exports := "\x02" + sized("memory") + "\x02\x00" + sized("_start") + "\x00\x02"
	return []byte(moduleHead + section(1, types) + section(2, imports) + section(3, "\x01\x02") + section(5, "\x01\x00\x01") +
		section(7, exports) + section(10, "\x01"+sized(body)) + section(11, "\x01\x00"+i32(16)+opEnd+sized(data)))
}
