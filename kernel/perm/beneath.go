package perm

import "strings"

// ProtectedBeneath returns the path, relative to the directory root, of the
// protected file that a change to rel would touch; "" if there is none. rel is
// clean, slash-separated, and relative to root, a clean absolute path of the
// host. asDir says that a directory is made or removed there, which a directory
// on the way to a protected name may be.
//
// It is for what is written outside of any process, where there is no Subject
// that decides, and nothing is unprotected.
func ProtectedBeneath(root, rel string, asDir bool) string {
	if root == "/" {
		root = ""
	}
	host := root + "/" + rel
	folded := foldPath(host)
	end, partial := matchProtected(folded, len(foldPath(root)))
	if end == 0 || partial && asDir {
		return ""
	}
	return cutComponents(host, strings.Count(folded[:end], "/"))[len(root)+1:]
}
