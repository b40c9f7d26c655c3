//go:build !unix

package vfs

import "github.com/agentos-kernel/agentos/kernel/abi"

// hostEnd does not exist here: every stream is read ahead when it is polled.
type hostEnd struct{}

func endOf(any) *hostEnd { return nil }

func (*hostEnd) ready(abi.PollKind) Readiness       { return Readiness{} }
func (*hostEnd) await(abi.PollKind) bool            { return true }
func (*hostEnd) watch(abi.PollKind, func()) func()  { return func() {} }
func (*hostEnd) stop()                              {}
func (*hostEnd) close()                             {}
func (*hostEnd) tryRead([]byte) (int, abi.Errno)    { return 0, abi.ENOTSUP }
func (*hostEnd) tryWrite([][]byte) (int, abi.Errno) { return 0, abi.ENOTSUP }
