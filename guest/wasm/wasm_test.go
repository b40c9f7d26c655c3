package wasm

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is its own compiling child.
func TestMain(m *testing.M) {
	HelperMain()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		cleanModules()
		os.Exit(code)
	}))
}
