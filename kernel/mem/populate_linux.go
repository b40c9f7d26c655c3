package mem

import "golang.org/x/sys/unix"

// populate backs b with memory by one system call. Kernels before 5.14 do not
// know the advice, and one without memory left refuses it; both then give the
// pages, or kill, when they are touched.
func populate(b []byte) { _ = unix.Madvise(b, unix.MADV_POPULATE_WRITE) }
