//go:build unix && !linux

package commit

import "errors"

// exchange swaps two names in one step, which not every system can.
func exchange(string, string) error { return errors.ErrUnsupported }
