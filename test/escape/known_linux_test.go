package escape

// nativeRequired says that the native domain must work wherever this runs.
const nativeRequired = false

// unbound are the attempts that a plain run reports as an escape for nobody, with
// the reason. It speaks of the kernel that the corpus was validated on; another
// may differ.
var unbound = map[string]string{}

// open are the escapes that are known and said in CAVEATS. It is meant to be
// empty.
var open = map[string]string{}
