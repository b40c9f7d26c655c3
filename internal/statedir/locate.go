package statedir

import (
	"path/filepath"
)

// Locate returns where the state directory is or would be, as an absolute path:
// $AGENTOS_STATE, else $XDG_STATE_HOME/agentos, else $HOME/.local/state/agentos.
// As the XDG specification asks, a relative XDG_STATE_HOME is ignored. The error
// is an *Unavailable.
func Locate(getenv func(string) string) (string, error) {
	if p := getenv("AGENTOS_STATE"); p != "" {
		abs, err := filepath.Abs(p)
		if err != nil {
			return "", &Unavailable{Path: p, Reason: "cannot be made absolute", Fix: "set AGENTOS_STATE to an absolute path", Err: err}
		}
		return abs, nil
	}
	if p := getenv("XDG_STATE_HOME"); filepath.IsAbs(p) {
		return filepath.Join(p, "agentos"), nil
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return "", &Unavailable{Reason: "has no place: neither AGENTOS_STATE, XDG_STATE_HOME, nor HOME names one", Fix: "set AGENTOS_STATE to a directory of yours"}
	}
	return filepath.Join(home, ".local", "state", "agentos"), nil
}
