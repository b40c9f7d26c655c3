//go:build !unix

package mem

import "errors"

func reserve(uint64) ([]byte, error) {
	return nil, errors.New("guest memory is not available on this system")
}

func commit([]byte) error    { return errors.ErrUnsupported }
func unreserve([]byte) error { return errors.ErrUnsupported }
