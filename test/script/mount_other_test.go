//go:build !linux

package script

import "errors"

var errNoMount = errors.New("mounting a file system in memory is written for Linux only")

func mount(string, string) error   { return errNoMount }
func remountReadOnly(string) error { return errNoMount }
func unmount(string) error         { return errNoMount }
