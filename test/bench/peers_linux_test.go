package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// peers are the other sandboxes that this host has, each with a view that is like a
// native program's default: /usr for reading, a proc and a few devices, a private /tmp,
// no network, no capabilities. None has a filter of system calls, and those that would
// make control groups may leave it: what they do is less than what we do. With names,
// only these.
func peers(b *testing.B, names ...string) (all []*contestant) {
	b.Helper()
	for _, p := range []struct {
		name string
		make func(b *testing.B, binary string) (func(program string) (int, error), error)
	}{
		{"bwrap", bubblewrap}, {"runc", runc}, {"runsc", gvisor}, {"systemd-run", systemd},
	} {
		if len(names) > 0 && !slices.Contains(names, p.name) {
			continue
		}
		binary, err := tool(p.name)
		var c *contestant
		if err == nil {
			c = &contestant{name: p.name, peer: true}
			if c.run, err = p.make(b, binary); err == nil {
				err = c.proper()
			}
		}
		if err != nil {
			b.Logf("NOT CHECKED: %s: %v (make bench-peers installs what it can)", p.name, err)
			continue
		}
		all = append(all, c)
	}
	return all
}

// tool finds a program, first among those that were built for this repository.
func tool(name string) (string, error) {
	own, err := filepath.Abs("../../bin/tools/" + name)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(own); err == nil {
		return own, nil
	}
	return exec.LookPath(name)
}

// linked are the places that a host has as links into /usr, or as directories.
var linked = []string{"/bin", "/sbin", "/lib", "/lib64"}

func bubblewrap(_ *testing.B, binary string) (func(string) (int, error), error) {
	argv := []string{binary, "--unshare-all", "--ro-bind", "/usr", "/usr"}
	for _, at := range linked {
		if to, err := os.Readlink(at); err == nil {
			argv = append(argv, "--symlink", to, at)
		} else if _, err := os.Stat(at); err == nil {
			argv = append(argv, "--ro-bind", at, at)
		}
	}
	argv = append(argv, "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--die-with-parent", "--new-session", "--cap-drop", "ALL")
	return func(program string) (int, error) {
		return spawn(append(argv[:len(argv):len(argv)], program), environment)
	}, nil
}

// environment is that of what is run outside of AgentOS.
var environment = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

func runc(b *testing.B, binary string) (func(string) (int, error), error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("needs root")
	}
	return containers(b, binary)
}

func gvisor(b *testing.B, binary string) (func(string) (int, error), error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("needs root")
	}
	return containers(b, binary, "--network=none", "--ignore-cgroups")
}

// containers runs programs by a runtime of the Open Container Initiative.
func containers(b *testing.B, binary string, flags ...string) (func(string) (int, error), error) {
	dir := b.TempDir()
	bundles := map[string]string{}
	for i, program := range []string{"/bin/true", "/bin/false"} {
		bundles[program] = filepath.Join(dir, "bundle"+strconv.Itoa(i))
		if err := bundle(bundles[program], program); err != nil {
			return nil, err
		}
	}
	// gVisor leaves a network namespace mounted there.
	state := filepath.Join(dir, "state")
	b.Cleanup(func() { _ = syscall.Unmount(filepath.Join(state, "null-netns"), syscall.MNT_DETACH) }) // often there is none
	n := 0
	return func(program string) (int, error) {
		n++
		argv := append([]string{binary, "--root", state}, flags...)
		argv = append(argv, "run", "--bundle", bundles[program], fmt.Sprintf("bench-%d-%d", os.Getpid(), n))
		return spawn(argv, environment)
	}, nil
}

// bundle makes the directory of a container: a root that has the host's /usr.
func bundle(dir, program string) error {
	type object = map[string]any
	root := filepath.Join(dir, "rootfs")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	mounts := []object{
		{"destination": "/proc", "type": "proc", "source": "proc"},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755"}},
		{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "nodev"}},
	}
	for _, at := range append([]string{"/usr"}, linked...) {
		if to, err := os.Readlink(at); err == nil {
			if err := os.Symlink(to, filepath.Join(root, at)); err != nil {
				return err
			}
		} else if _, err := os.Stat(at); err == nil {
			mounts = append(mounts, object{"destination": at, "type": "bind", "source": at, "options": []string{"rbind", "ro"}})
		}
	}
	for _, m := range mounts {
		if err := os.MkdirAll(filepath.Join(root, m["destination"].(string)), 0o755); err != nil {
			return err
		}
	}
	var namespaces []object
	for _, kind := range []string{"mount", "pid", "network", "ipc", "uts"} {
		namespaces = append(namespaces, object{"type": kind})
	}
	text, err := json.Marshal(object{
		"ociVersion": "1.0.2",
		"process": object{
			"user": object{"uid": 0, "gid": 0}, "args": []string{program}, "env": environment, "cwd": "/",
			"capabilities": object{}, "noNewPrivileges": true,
		},
		"root":     object{"path": "rootfs", "readonly": true},
		"hostname": "bench",
		"mounts":   mounts,
		"linux":    object{"namespaces": namespaces},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644)
}

func systemd(_ *testing.B, binary string) (func(string) (int, error), error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return nil, fmt.Errorf("systemd does not run this host")
	}
	argv := []string{binary, "--wait", "--quiet", "--collect"}
	for _, p := range []string{"NoNewPrivileges", "PrivateTmp", "PrivateNetwork", "PrivateDevices", "PrivateIPC", "ProtectHome", "ProtectKernelTunables"} {
		argv = append(argv, "-p", p+"=yes")
	}
	argv = append(argv, "-p", "ProtectSystem=strict", "-p", "CapabilityBoundingSet=")
	return func(program string) (int, error) {
		return spawn(append(argv[:len(argv):len(argv)], program), environment)
	}, nil
}
