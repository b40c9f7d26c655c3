//go:build unix && !linux

package vfs

import "golang.org/x/sys/unix"

func readNow(int, []byte) (int, error)    { return 0, unix.EOPNOTSUPP }
func writeNow(int, [][]byte) (int, error) { return 0, unix.EOPNOTSUPP }

func bytesWaiting(int) uint64 { return 0 }

func wakePipe(p *[2]int) error {
	if err := unix.Pipe(p[:]); err != nil {
		return err
	}
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	return nil
}
