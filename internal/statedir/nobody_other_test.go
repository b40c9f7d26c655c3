//go:build unix && !linux

package statedir

import "errors"

func becomeNobody() error { return errors.ErrUnsupported }
