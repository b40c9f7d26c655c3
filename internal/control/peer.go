package control

import (
	"fmt"
	"net"
	"os"
)

// checkPeer refuses every peer that is not, as the system attests, the effective
// user of this process. The directory's mode keeps others away already; this holds
// even if a socket should be reached another way.
func checkPeer(c net.Conn) error {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("a control connection must be a Unix socket, not %T", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return err
	}
	var uid uint32
	var perr error
	if err := raw.Control(func(fd uintptr) { uid, perr = peerUID(int(fd)) }); err != nil {
		return err
	}
	if perr != nil {
		return perr
	}
	if euid := os.Geteuid(); int64(uid) != int64(euid) {
		return fmt.Errorf("the peer is user %d, the kernel runs as user %d", uid, euid)
	}
	return nil
}
