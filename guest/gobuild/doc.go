// Package gobuild knows what it takes to make a WebAssembly module of Go source
// that nobody has reason to trust: which files the compiler must see, with which
// settings it runs, and where its results are kept. It runs nothing: the kernel
// runs the commands, as processes of the native domain.
//
// Invariants: no setting of the user's, of the source's, or of a file beside it
// reaches the compiler unless it is named here; a result is found again only for the
// same toolchain, settings, and content of every file that was to be seen; what is
// compiled of untrusted source never gets into the cache that other compilations
// read, which holds the toolchain's own standard library and nothing else.
//
// Locks: files, between kernels. The lock of who adds to the standard library is
// taken before the one of its content.
//
// Imports: x/sys.
package gobuild
