package view

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/agentos-kernel/agentos/guest"
)

// Hostname is the name of the machine that a program believes it runs on.
const Hostname = "agentos"

// nobody is the user and group that stands for those whom a program cannot name.
const nobody = 65534

// texts are the files of /etc that are written for the program and tell nothing of
// the host.
func texts(u guest.User) []guest.Mount {
	text := func(name, data string) guest.Mount {
		return guest.Mount{Guest: "/etc/" + name, Kind: guest.Text, Data: data, Source: sourceDefault}
	}
	return []guest.Mount{
		text("passwd", passwd(u)),
		text("group", group(u)),
		text("hosts", "127.0.0.1\tlocalhost "+Hostname+"\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
		text("hostname", Hostname+"\n"),
		text("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"),
		// The loopback of the program's own network answers at once that nobody
		// listens. Without a server line a C library would ask the same address,
		// but twice, and wait for each.
		text("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
		text("machine-id", newMachineID()),
	}
}

// newMachineID returns an identity that no two runs share, so that it ties nothing
// of what they do together.
func newMachineID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return hex.EncodeToString(b[:]) + "\n"
}

// field makes s fit for a field of passwd or group.
func field(s, otherwise string) string {
	if s == "" || strings.ContainsAny(s, ":\n\x00") {
		return otherwise
	}
	return s
}

func passwd(u guest.User) string {
	home, shell := field(u.Home, "/"), field(u.Shell, "/bin/sh")
	var b strings.Builder
	if u.UID == 0 {
		fmt.Fprintf(&b, "root:x:0:%d:root:%s:%s\n", u.GID, home, shell)
	} else {
		b.WriteString("root:x:0:0:root:/root:/bin/sh\n")
		name := field(u.Name, "user")
		fmt.Fprintf(&b, "%s:x:%d:%d:%s:%s:%s\n", name, u.UID, u.GID, name, home, shell)
	}
	if u.UID != nobody {
		fmt.Fprintf(&b, "nobody:x:%d:%d:nobody:/nonexistent:/usr/sbin/nologin\n", nobody, nobody)
	}
	return b.String()
}

func group(u guest.User) string {
	var b strings.Builder
	b.WriteString("root:x:0:\ntty:x:5:\n")
	if u.GID != 0 && u.GID != 5 && u.GID != nobody {
		fmt.Fprintf(&b, "%s:x:%d:\n", field(u.Name, "user"), u.GID)
	}
	fmt.Fprintf(&b, "nogroup:x:%d:\n", nobody)
	return b.String()
}
