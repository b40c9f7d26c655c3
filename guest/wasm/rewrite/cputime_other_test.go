//go:build !linux

package rewrite

import "time"

var started = time.Now()

func threadTime() int64 { return int64(time.Since(started)) }
