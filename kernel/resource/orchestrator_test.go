package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentos-kernel/agentos/kernel/abi"
)

// trace records what happened to one process, in order.
type trace struct{ steps []string }

// fake is an owner with an injected behaviour.
type fake struct {
	kind             abi.ResourceKind
	onInit, onRelase func() error
}

func (f *fake) Kind() abi.ResourceKind { return f.kind }

func (f *fake) Init(_ context.Context, t *trace) error {
	if f.onInit != nil {
		if err := f.onInit(); err != nil {
			return err
		}
	}
	t.steps = append(t.steps, "+"+f.kind.String())
	return nil
}

func (f *fake) Release(t *trace) (Freed, error) {
	if f.onRelase != nil {
		if err := f.onRelase(); err != nil {
			return Freed{}, err
		}
	}
	t.steps = append(t.steps, "-"+f.kind.String())
	return Freed{Count: 1, Bytes: 10}, nil
}

func fakes() (fs []*fake) {
	for k := range abi.NumResourceKinds {
		fs = append(fs, &fake{kind: k})
	}
	return fs
}

func owners(fs []*fake) (os []Owner[*trace]) {
	for _, f := range fs {
		os = append(os, f)
	}
	return os
}

func orchestrator(t *testing.T, fs []*fake) *Orchestrator[*trace] {
	t.Helper()
	o, err := New(50*time.Millisecond, owners(fs)...)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func steps(sign string, upTo int, reverse bool) (s []string) {
	for k := range upTo {
		s = append(s, sign+abi.ResourceKind(k).String())
	}
	if reverse {
		slices.Reverse(s)
	}
	return s
}

func TestOrderOfInitAndRelease(t *testing.T) {
	o := orchestrator(t, fakes())
	var tr trace
	if _, err := o.Init(t.Context(), &tr); err != nil {
		t.Fatal(err)
	}
	sum := o.Release(&tr)
	n := int(abi.NumResourceKinds)
	if want := append(steps("+", n, false), steps("-", n, true)...); !slices.Equal(tr.steps, want) {
		t.Errorf("steps %v, want %v", tr.steps, want)
	}
	if sum.Freed.Count != uint64(n) || sum.Freed.Bytes != uint64(10*n) || len(sum.Errors) != 0 {
		t.Errorf("summary %+v", sum)
	}
}

// TestCoverageMutation removes each owner in turn, doubles each, and swaps each
// with its neighbour: none of these may boot.
func TestCoverageMutation(t *testing.T) {
	all := owners(fakes())
	for i := range all {
		without := slices.Delete(slices.Clone(all), i, i+1)
		if _, err := New(0, without...); !errors.Is(err, ErrCoverage) {
			t.Errorf("without %s: %v", all[i].Kind(), err)
		}
		if _, err := New(0, slices.Insert(slices.Clone(all), i, all[i])...); !errors.Is(err, ErrCoverage) {
			t.Errorf("with two of %s: %v", all[i].Kind(), err)
		}
		if i > 0 {
			swapped := slices.Clone(all)
			swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
			if _, err := New(0, swapped...); !errors.Is(err, ErrCoverage) {
				t.Errorf("with %s and its neighbour swapped: %v", all[i].Kind(), err)
			}
		}
	}
	if _, err := New(0, append(slices.Clone(all), &fake{kind: abi.NumResourceKinds})...); !errors.Is(err, ErrCoverage) {
		t.Errorf("with an undeclared kind: %v", err)
	}
}

func TestEachInitializerFails(t *testing.T) {
	boom := errors.New("boom")
	for _, how := range []struct {
		name string
		f    func() error
	}{{"error", func() error { return boom }}, {"panic", func() error { panic(boom) }}} {
		for i := range int(abi.NumResourceKinds) {
			t.Run(fmt.Sprintf("%s/%s", how.name, abi.ResourceKind(i)), func(t *testing.T) {
				fs := fakes()
				fs[i].onInit = how.f
				var tr trace
				sum, err := orchestrator(t, fs).Init(t.Context(), &tr)
				var ie *InitError
				if !errors.As(err, &ie) || ie.Kind != abi.ResourceKind(i) || !strings.Contains(err.Error(), "boom") {
					t.Fatalf("error %v", err)
				}
				if want := append(steps("+", i, false), steps("-", i, true)...); !slices.Equal(tr.steps, want) {
					t.Errorf("steps %v, want %v", tr.steps, want)
				}
				if sum.Freed.Count != uint64(i) {
					t.Errorf("rollback freed %d, want %d", sum.Freed.Count, i)
				}
			})
		}
	}
}

func TestInitStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	fs := fakes()
	fs[2].onInit = func() error { cancel(); return nil }
	var tr trace
	_, err := orchestrator(t, fs).Init(ctx, &tr)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if want := append(steps("+", 3, false), steps("-", 3, true)...); !slices.Equal(tr.steps, want) {
		t.Errorf("steps %v, want %v", tr.steps, want)
	}
}

func TestBadReleaseStopsNoOther(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, how := range []string{"error", "panic", "hang"} {
		for i := range int(abi.NumResourceKinds) {
			t.Run(fmt.Sprintf("%s/%s", how, abi.ResourceKind(i)), func(t *testing.T) {
				hung := make(chan struct{})
				fs := fakes()
				fs[i].onRelase = func() error {
					switch how {
					case "panic":
						panic("boom")
					case "hang":
						<-hung
					}
					return errors.New("boom")
				}
				o := orchestrator(t, fs)
				var tr trace
				if _, err := o.Init(t.Context(), &tr); err != nil {
					t.Fatal(err)
				}
				tr.steps = nil
				sum := o.Release(&tr)
				want := slices.DeleteFunc(steps("-", int(abi.NumResourceKinds), true), func(s string) bool {
					return s == "-"+abi.ResourceKind(i).String()
				})
				if !slices.Equal(tr.steps, want) {
					t.Errorf("steps %v, want %v", tr.steps, want)
				}
				if len(sum.Errors) != 1 || !strings.HasPrefix(sum.Errors[0], abi.ResourceKind(i).String()+": ") {
					t.Errorf("errors %q", sum.Errors)
				}
				wantOrphans := 0
				if how == "hang" {
					wantOrphans = 1
				}
				if n := o.Orphans(); n != wantOrphans {
					t.Errorf("%d orphans, want %d", n, wantOrphans)
				}
				close(hung)
				for o.Orphans() != 0 {
					time.Sleep(time.Millisecond) // its goroutine is about to end
				}
			})
		}
	}
}
