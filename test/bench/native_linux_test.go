package bench

import (
	"os/exec"
	"testing"

	agentos "github.com/agentos-kernel/agentos"
)

// BenchmarkNativeSpawn is spawn → exit of /bin/true in a running kernel.
func BenchmarkNativeSpawn(b *testing.B) {
	for _, ready := range []int{0, 1, 4, 16} {
		b.Run("ready="+string(rune('a'+ready)), func(b *testing.B) {
			k, err := agentos.Open(agentos.Config{NoState: true, NativeReady: ready})
			if err != nil {
				b.Fatal(err)
			}
			defer k.Close()
			for b.Loop() {
				r, err := k.Run(b.Context(), agentos.Spec{Program: "/bin/true"})
				if err != nil || r.Cause != "exited" {
					b.Fatal(r, err)
				}
			}
		})
	}
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			if err := exec.Command("/bin/true").Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
