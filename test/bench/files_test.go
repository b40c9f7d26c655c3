package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/agentos-kernel/agentos"
)

// The work of the file benchmarks.
const (
	treeFiles = 10_000
	treeDirs  = 100
	bulk      = 1 << 30
	opens     = 100_000
)

// filesModule compiles testdata/files.
func filesModule(b *testing.B) []byte {
	b.Helper()
	out := filepath.Join(b.TempDir(), "files.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-o", out, "./testdata/files")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, text)
	}
	image, err := os.ReadFile(out)
	if err != nil {
		b.Fatal(err)
	}
	return image
}

// inside reads what the guest says of its work, and fails unless it did all of
// it.
func inside(b *testing.B, out []byte, want int64) (ns float64) {
	b.Helper()
	var n, took int64
	if _, err := fmt.Sscan(string(out), &n, &took); err != nil || n != want {
		b.Fatalf("the guest did %d of %d: %q %v", n, want, out, err)
	}
	return float64(took)
}

// BenchmarkFiles: the same Go program on the same host directory, through the
// kernel and through wazero's own WASI, by turns. The figures are the guest's own
// time, and the ratio of the two. Targets: walk 1.3, read and write 1.15, open 1.5.
func BenchmarkFiles(b *testing.B) {
	image := filesModule(b)
	dir := b.TempDir()
	for i := range treeDirs {
		sub := filepath.Join(dir, "tree", "d"+strconv.Itoa(i))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		for j := range treeFiles / treeDirs {
			if err := os.WriteFile(filepath.Join(sub, "f"+strconv.Itoa(j)), []byte("x"), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	big, err := os.Create(filepath.Join(dir, "big"))
	if err != nil {
		b.Fatal(err)
	}
	for range bulk >> 20 {
		if _, err := big.Write(bytes.Repeat([]byte("0123456789abcdef"), 1<<16)); err != nil {
			b.Fatal(err)
		}
	}
	if err := big.Close(); err != nil {
		b.Fatal(err)
	}
	for _, work := range []struct {
		name string
		args []string
		want int64
	}{
		{"walk", []string{"walk", "/w/tree"}, treeFiles + treeDirs + 1},
		{"read", []string{"read", "/w/big"}, bulk},
		{"write", []string{"write", "/w/new", strconv.Itoa(bulk)}, bulk},
		{"open", []string{"open", "/w/tree/d7/f7", strconv.Itoa(opens)}, opens},
	} {
		// A file that is written is a new one each time, and what the other side
		// left to be stored does not slow this one down.
		fresh := func(b *testing.B) {
			if work.name != "write" {
				return
			}
			if err := os.RemoveAll(filepath.Join(dir, "new")); err != nil {
				b.Fatal(err)
			}
			if err := exec.Command("sync").Run(); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(work.name, func(b *testing.B) {
			k, w := kernel(b, nil), newRaw(b, image)
			// By turns, so that both meet the same host.
			var ours, theirs float64
			for b.Loop() {
				fresh(b)
				ours += inside(b, filesInKernel(b, k, image, dir, work.args), work.want)
				fresh(b)
				theirs += inside(b, filesInWazero(b, w, dir, work.args), work.want)
			}
			b.ReportMetric(ours/float64(b.N)/1e6, "agentos-ms")
			b.ReportMetric(theirs/float64(b.N)/1e6, "wazero-ms")
			b.ReportMetric(ours/theirs, "ratio")
		})
	}
}

func filesInKernel(b *testing.B, k *agentos.Kernel, image []byte, dir string, args []string) []byte {
	b.Helper()
	var out bytes.Buffer
	r, err := k.Run(context.Background(), agentos.Spec{
		Program: "files.wasm", Image: image, Args: args, Stdout: &out, Stderr: os.Stderr,
		Grants: []agentos.Grant{{Kind: agentos.GrantWrite, Host: dir, Guest: "/w"}},
	})
	if err != nil || r.Cause != "exited" || r.ExitCode != 0 {
		b.Fatalf("%v %+v", err, r)
	}
	return out.Bytes()
}

func filesInWazero(b *testing.B, w raw, dir string, args []string) []byte {
	b.Helper()
	var out bytes.Buffer
	c := wazero.NewModuleConfig().WithName("").WithSysNanotime().WithSysWalltime().WithArgs(append([]string{"files"}, args...)...).
		WithStdout(&out).WithStderr(os.Stderr).WithFSConfig(wazero.NewFSConfig().WithDirMount(dir, "/w"))
	m, err := w.r.InstantiateModule(context.Background(), w.c, c)
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}
