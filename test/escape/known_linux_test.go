package escape

// nativeRequired says that the native domain must work wherever this runs.
const nativeRequired = false

// anyone: an attempt is not possible for root either.
const anyone = -1

// reason is why an attempt comes to nothing even where nothing confines it.
type reason struct {
	uid int // whose: 0, nobody (any ordinary user), anyone
	why string
}

// unbound are the attempts that a plain run does not report as an escape, with
// the reason. It speaks of the kernel that the corpus was validated on; another
// may differ.
var unbound = map[string]reason{}

// open are the escapes that are known and said in CAVEATS. It is meant to be
// empty.
var open = map[string]string{}
