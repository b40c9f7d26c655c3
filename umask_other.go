//go:build !unix

package agentos

// umask is of no use here: nothing is committed.
func umask() uint32 { return 0o077 }
