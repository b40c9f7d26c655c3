package event

import "runtime"

// counter reads the time stamp counter.
//
//go:noescape
func counter() uint64

// cpuid executes the instruction of that name.
//
//go:noescape
func cpuid(leaf, sub uint32) (eax, ebx, ecx, edx uint32)

// counterUsable reports whether the time stamp counter runs at a constant rate
// in every power state (CPUID 8000_0007h, EDX bit 8) and Linux keeps time by it:
// directly, having tested the processors against each other, or as a KVM guest
// by way of kvm-clock, which is the same counter scaled by the host. A guest
// prefers the latter because it survives a migration; here a migration costs no
// more than a mark (see clock), since nothing but the times shown in events
// depends on Ticks.
func counterUsable() bool {
	if runtime.GOOS != "linux" {
		return false
	}
	top, _, _, _ := cpuid(0x80000000, 0)
	if top < 0x80000007 {
		return false
	}
	if _, _, _, edx := cpuid(0x80000007, 0); edx&(1<<8) == 0 {
		return false
	}
	source := clocksource()
	return source == "tsc" || source == "kvm-clock"
}
