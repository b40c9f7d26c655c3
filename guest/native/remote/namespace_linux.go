package remote

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// Obstacle says what keeps ordinary users from making user namespaces, as far as this
// host says it, and what to do about it. err is what happened when it was tried.
func Obstacle(err error) (why, fix string) {
	for _, o := range obstacles {
		b, rerr := os.ReadFile(o.file)
		if rerr == nil && strings.TrimSpace(string(b)) == o.value {
			return o.why, o.fix
		}
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "the limit of user namespaces is reached", "raise user.max_user_namespaces (sysctl)"
	case filtered():
		return "a filter of system calls, such as a container's, refuses it", "run the container with a profile that allows clone and unshare with CLONE_NEWUSER (docker: --security-opt seccomp=…)"
	case errors.Is(err, syscall.EPERM):
		return "the system refuses it", "a security module or a changed root (chroot) forbids it; ask who administers this host"
	case errors.Is(err, syscall.EINVAL):
		return "this kernel was built without user namespaces", "run as root"
	}
	return "", ""
}

// obstacles are the switches by which distributions turn them off.
var obstacles = []struct{ file, value, why, fix string }{
	{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces is 0", "sysctl user.max_user_namespaces=15000"},
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone is 0", "sysctl kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor restricts user namespaces of ordinary users (kernel.apparmor_restrict_unprivileged_userns)",
		"install the profile of AgentOS: packaging/apparmor/agentos in /etc/apparmor.d, then apparmor_parser -r /etc/apparmor.d/agentos"},
}

// filtered reports whether this process is under a seccomp filter.
func filtered() bool {
	b, err := os.ReadFile("/proc/self/status")
	return err == nil && strings.Contains(string(b), "\nSeccomp:\t2")
}
