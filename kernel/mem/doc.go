// Package mem gives guests their linear memory: address space reserved once,
// pages committed and charged as the guest grows, everything returned at the
// end whatever the guest forgot.
//
// Invariants: a byte is charged to [abi.LimitMemory] before it can be touched
// and uncharged after it cannot; the base of a region never changes; committed
// never exceeds reserved and both are multiples of [PageSize]; after Release
// nothing can be reserved, and what was charged is zero.
//
// Locks: Memory.mu, then Region.mu; never the other way round. Neither is held
// while an event is emitted.
//
// Imports: kernel/abi, kernel/event, kernel/limit.
package mem
