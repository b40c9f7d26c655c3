//go:build !linux

package cli

import "os"

// There are no native programs here, and so no console is ever made.

func (*console) listen()             {}
func (*console) deaf()               {}
func (*console) heed(os.Signal)      {}
func (*console) stopSelf(bool) error { return nil }
