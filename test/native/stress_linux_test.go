package native

import (
	"flag"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var stressTime = flag.String("stress", "1s", "how long each of stress-ng's programs runs")

// refused are stress-ng's programs that cannot do their work inside, with the reason.
var refused = map[string]string{
	"binderfs":   "it mounts",
	"chroot":     "chroot",
	"dccp":       "a family of sockets that programs do not get",
	"handle":     "name_to_handle_at",
	"icmp-flood": "raw sockets",
	"io-uring":   "io_uring",
	"key":        "keyrings",
	"loop":       "there is no /dev/loop-control",
	"numa":       "move_pages",
	"ramfs":      "it mounts",
	"rawpkt":     "raw sockets",
	"rawsock":    "raw sockets",
	"rawudp":     "raw sockets",
	"reboot":     "reboot",
	"umount":     "it mounts",
	"vm-rw":      "process_vm_readv",
	// As outside in an ipc namespace that is new.
	"sem-sysv": "the program named resources removes semaphore 0, which here is this one's",
}

// refusedUser are more of them for an ordinary user.
var refusedUser = map[string]string{
	"chown": "of a user that its namespace does not know the kernel says EINVAL, and EPERM is expected",
}

// excluded would only wait: what they ask for is refused, and they do not look.
var excluded = map[string]string{
	"vm-segv": "it asks to be traced, and stops until its tracer continues it",
}

var failure = regexp.MustCompile(`(?m)^stress-ng: (?:fail:  \[\d+\] ([a-z0-9-]+):|error: \[\d+\] process \[\d+\] \(([a-z0-9-]+)\) terminated)`)

// TestStress runs stress-ng's classes. No program of it fails but where what it asks
// for is refused, none hangs, and nothing outlives them.
func TestStress(t *testing.T) {
	if !*everything {
		t.Skip("with -native only")
	}
	need(t, "stress-ng")
	h := newHouse(t)
	without := strings.Join(slices.Sorted(maps.Keys(excluded)), ",")
	h.users(t, func(t *testing.T, u *user) {
		u.contained(t)
		for _, class := range []string{"pipe", "filesystem", "scheduler", "memory", "os"} {
			t.Run(class, func(t *testing.T) {
				dir := u.work(t, nil)
				// Some open more than 1024 files, and one at a time takes much memory. Their
				// files are in private space, which has a limit: some fill all there is.
				o := u.inside(t, dir, []string{"--read", dir, "--files", "4096", "--memory", "2G", "--timeout", "18m"},
					[]string{"/usr/bin/stress-ng", "--class", class, "--seq", "1", "--timeout", *stressTime, "--exclude", without,
						"--temp-path", "/tmp", "--oomable"})
				text := o.stdout + o.stderr
				if !strings.Contains(text, "run completed in") {
					t.Fatalf("it did not come to its end: %s", o)
				}
				wrong := map[string]bool{}
				for _, m := range failure.FindAllStringSubmatch(text, -1) {
					if name := m[1] + m[2]; refused[name] == "" && (u.uid == 0 || refusedUser[name] == "") {
						wrong[name] = true
					}
				}
				for name := range wrong {
					t.Errorf("%s fails:\n%s", name, strings.Join(linesWith(text, name), "\n"))
				}
			})
		}
	})
}

// linesWith returns the first lines that speak of name and are no announcement.
func linesWith(text, name string) (found []string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, name) && len(line) < 400 && len(found) < 10 {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}
