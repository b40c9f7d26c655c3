package wasm

import (
	"context"
	"errors"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// errUnwind carries a guest that ends inside a host call through wazero, which
// collects a trace of the whole guest stack on the way.
var errUnwind = errors.New("unwinding")

// shallow is the depth of stack, in bytes, up to which that trace is cheap.
const shallow = 1 << 20

// escape returns what to panic with instead where the stack is deep: collecting
// a trace of a million frames takes a large part of a second. The panic value of
// a snapshot that belongs to another call passes through wazero untouched, so
// one is taken from a call that has ended. If a later wazero treats it otherwise
// the guest still ends, more slowly.
var escape = sync.OnceValue(func() any {
	ctx := experimental.WithSnapshotter(context.Background())
	r := wazero.NewRuntime(ctx)
	defer func() { _ = r.Close(ctx) }() // nothing is left in it to lose
	var value any = errUnwind
	_, err := r.NewHostModuleBuilder("host").NewFunctionBuilder().
		WithGoFunction(api.GoFunc(func(ctx context.Context, _ []uint64) {
			s := experimental.GetSnapshotter(ctx).Snapshot()
			defer func() { value = recover() }()
			s.Restore(nil)
		}), nil, nil).Export("take").Instantiate(ctx)
	if err != nil {
		return errUnwind
	}
	m, err := r.Instantiate(ctx, snapshotModule)
	if err != nil {
		return errUnwind
	}
	if _, err := m.ExportedFunction("run").Call(ctx); err != nil {
		return errUnwind
	}
	return value
})

// snapshotModule is (module (import "host" "take" (func)) (func (export "run")
// call 0)).
var snapshotModule = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x04\x01\x60\x00\x00" + // type ()->()
	"\x02\x0d\x01\x04host\x04take\x00\x00" +
	"\x03\x02\x01\x00" +
	"\x07\x07\x01\x03run\x00\x01" +
	"\x0a\x06\x01\x04\x00\x10\x00\x0b")
