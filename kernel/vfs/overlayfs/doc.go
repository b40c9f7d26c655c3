// Package overlayfs is a file system of two layers: a lower one that is only
// read, and a store of the host that captures every change, so that the merged
// view can be looked at, committed to the lower layer, or thrown away later.
package overlayfs
