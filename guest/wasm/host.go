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
// those of WASI and of ours that it names, and the yield that the rewriter added. Only
// wazero's stack-based functions are used; reflection costs thirty times as much.
func provide(ctx context.Context, r wazero.Runtime, imports []string) error {
	for module, functions := range map[string][]wasip1.Function{wasip1.Module: wasip1.Functions(), wasip1.OwnModule: wasip1.Own()} {
		if err := provideModule(ctx, r, module, functions, imports); err != nil {
			return err
		}
	}
	b := r.NewHostModuleBuilder(rewrite.ImportModule)
	b.NewFunctionBuilder().WithName(rewrite.ImportYield).WithGoFunction(api.GoFunc(func(ctx context.Context, _ []uint64) {
		ctx.(*instance).spent()
	}), nil, nil).Export(rewrite.ImportYield)
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("provide %s: %w", rewrite.ImportModule, err)
	}
	return nil
}

// provideModule provides those functions of a module that are imported.
func provideModule(ctx context.Context, r wazero.Runtime, module string, functions []wasip1.Function, imports []string) error {
	b := r.NewHostModuleBuilder(module)
	count := 0
	for _, f := range functions {
		if !slices.Contains(imports, importKey(module, f.Name)) {
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
	if count == 0 {
		return nil
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("provide %s: %w", module, err)
	}
	return nil
}

// importKey names an import in a module's facts: functions of preview 1 go by their names.
func importKey(module, name string) string {
	if module == wasip1.Module {
		return name
	}
	return module + "." + name
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
