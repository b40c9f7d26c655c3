package launch

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// sharedMemory returns the bytes of files in memory (memfd_create) that processes have
// open, each file once. They are nobody's own memory, and a tmpfs has no part in them.
// One that is mapped and no longer open is missing here; it counts where the kernel
// counts groups.
func sharedMemory(pids []int) (sum uint64) {
	type file struct{ dev, ino uint64 }
	seen := map[file]bool{}
	for _, pid := range pids {
		dir := "/proc/" + strconv.Itoa(pid) + "/fd/"
		names, err := os.ReadDir(dir)
		if err != nil {
			continue // it has ended
		}
		for _, n := range names {
			if to, err := os.Readlink(dir + n.Name()); err != nil || !strings.HasPrefix(to, "/memfd:") {
				continue
			}
			fi, err := os.Stat(dir + n.Name())
			if err != nil {
				continue // closed meanwhile
			}
			st, ok := fi.Sys().(*syscall.Stat_t)
			if !ok || seen[file{st.Dev, st.Ino}] {
				continue
			}
			seen[file{st.Dev, st.Ino}] = true
			sum += uint64(st.Blocks) * 512
		}
	}
	return sum
}
