package wasm

import (
	"context"
	"fmt"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/agentos-kernel/agentos/guest/wasm/rewrite"
	"github.com/agentos-kernel/agentos/guest/wasm/wasip1"
)

// provide makes the functions that a program imports available in its runtime:
// those of WASI that it names, and the yield that the rewriter added. Only
// wazero's stack-based functions are used; reflection costs thirty times as much.
func provide(ctx context.Context, r wazero.Runtime, imports []string) error {
	b := r.NewHostModuleBuilder(wasip1.Module)
	count := 0
	for _, f := range wasip1.Functions() {
		if !slices.Contains(imports, f.Name) {
			continue
		}
		count++
		var results []api.ValueType
		if !f.NoError {
			results = []api.ValueType{api.ValueTypeI32}
		}
		b.NewFunctionBuilder().WithName(f.Name).WithGoFunction(api.GoFunc(func(ctx context.Context, stack []uint64) {
			f.Invoke(&ctx.(*instance).abi, stack)
		}), wasiParams(f.Params), results).Export(f.Name)
	}
	if count > 0 {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("provide %s: %w", wasip1.Module, err)
		}
	}
	b = r.NewHostModuleBuilder(rewrite.ImportModule)
	b.NewFunctionBuilder().WithName(rewrite.ImportYield).WithGoFunction(api.GoFunc(func(ctx context.Context, _ []uint64) {
		ctx.(*instance).spent()
	}), nil, nil).Export(rewrite.ImportYield)
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("provide %s: %w", rewrite.ImportModule, err)
	}
	return nil
}

func wasiParams(letters string) []api.ValueType {
	types := make([]api.ValueType, 0, len(letters))
	for _, l := range letters {
		if l == 'I' {
			types = append(types, api.ValueTypeI64)
		} else {
			types = append(types, api.ValueTypeI32)
		}
	}
	return types
}
