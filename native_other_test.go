//go:build !linux

package agentos_test

// testRoles: there are none here.
func testRoles() {}
