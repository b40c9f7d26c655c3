package wasip1

import "github.com/agentos-kernel/agentos/kernel/abi"

// The rights of WASI preview 1, by bit.
const (
	RightFdDatasync uint64 = 1 << iota
	RightFdRead
	RightFdSeek
	RightFdFdstatSetFlags
	RightFdSync
	RightFdTell
	RightFdWrite
	RightFdAdvise
	RightFdAllocate
	RightPathCreateDirectory
	RightPathCreateFile
	RightPathLinkSource
	RightPathLinkTarget
	RightPathOpen
	RightFdReaddir
	RightPathReadlink
	RightPathRenameSource
	RightPathRenameTarget
	RightPathFilestatGet
	RightPathFilestatSetSize
	RightPathFilestatSetTimes
	RightFdFilestatGet
	RightFdFilestatSetSize
	RightFdFilestatSetTimes
	RightPathSymlink
	RightPathRemoveDirectory
	RightPathUnlinkFile
	RightPollFdReadwrite
	RightSockShutdown
	RightSockAccept

	// RightsAll is every right that preview 1 defines.
	RightsAll = RightSockAccept<<1 - 1
)

// RightsFile and RightsDirectory are the rights that make sense for a file and
// for a directory. A program is shown the intersection of what its descriptor
// has with what its type can use, as other runtimes do.
const (
	RightsFile = RightFdDatasync | RightFdRead | RightFdSeek | RightFdFdstatSetFlags | RightFdSync | RightFdTell |
		RightFdWrite | RightFdAdvise | RightFdAllocate | RightFdFilestatGet | RightFdFilestatSetSize |
		RightFdFilestatSetTimes | RightPollFdReadwrite
	RightsDirectory = RightFdFdstatSetFlags | RightFdSync | RightFdDatasync | RightFdAdvise | RightPathCreateDirectory |
		RightPathCreateFile | RightPathLinkSource | RightPathLinkTarget | RightPathOpen | RightFdReaddir |
		RightPathReadlink | RightPathRenameSource | RightPathRenameTarget | RightPathFilestatGet |
		RightPathFilestatSetSize | RightPathFilestatSetTimes | RightFdFilestatGet | RightFdFilestatSetTimes |
		RightPathSymlink | RightPathRemoveDirectory | RightPathUnlinkFile | RightPollFdReadwrite
	// RightsStream are the rights of a terminal or pipe. Without seek and tell a
	// C library takes a character device for a terminal.
	RightsStream = RightsFile &^ (RightFdSeek | RightFdTell | RightFdAdvise | RightFdAllocate | RightFdFilestatSetSize)
)

// RightsSocket are the rights of a listener or a connection.
const RightsSocket = RightFdRead | RightFdWrite | RightFdFdstatSetFlags | RightFdFilestatGet | RightPollFdReadwrite |
	RightSockAccept | RightSockShutdown

// shownRights returns the rights to report for a descriptor.
func shownRights(i *abi.FDInfo) (base, inheriting uint64) {
	switch i.Type {
	case abi.TypeDirectory:
		return i.Rights & RightsDirectory, i.Inherit & (RightsDirectory | RightsFile)
	case abi.TypeRegular, abi.TypeBlockDevice:
		return i.Rights & RightsFile, i.Inherit & RightsFile
	case abi.TypeSocket:
		return i.Rights & RightsSocket, i.Inherit & RightsSocket
	default:
		return i.Rights & RightsStream, i.Inherit & RightsStream
	}
}
