//go:build !unix

package net

import (
	"context"
	"errors"
)

// Listen does not exist here.
func Listen(context.Context, string) (Listener, error) {
	return nil, errors.New("listening is not supported on this system")
}
