package perm

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// protectedNames are the files that make other programs run code: beneath a
// write grant they can be read and not changed, whether or not they exist. Each
// is a sequence of components that may stand anywhere; one after the first may
// hold a wildcard.
var protectedNames = [...]string{
	// Version control: hooks, and settings that name programs.
	".git/hooks", ".git/config", ".git/config.worktree", ".git/commondir",
	".gitconfig", ".gitmodules", ".config/git", ".hg/hgrc", ".hgrc",
	// Start-up files of shells and sessions.
	".profile", ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases",
	".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".mkshrc", ".cshrc", ".tcshrc", ".login", ".logout",
	".config/fish", ".config/autostart", ".config/systemd/user", ".config/environment.d",
	".xprofile", ".xinitrc", ".xsession", ".xsessionrc", ".pam_environment", ".ssh", ".envrc",
	// Editors.
	".vscode", ".idea", ".vimrc", ".exrc", ".nvimrc", ".config/nvim", ".emacs", ".dir-locals.el",
	// Coding agents: commands, agents, hooks, settings, and servers they start.
	".mcp.json", ".claude/commands", ".claude/agents", ".claude/skills", ".claude/hooks", ".claude/plugins", ".claude/settings*.json",
	".cursor", ".codex", ".gemini", ".windsurf", ".github/agents", ".opencode",
}

// protects returns the host path of the protected file that a change to clean, a
// guest path under r, would touch; "" if there is none. A directory on the way
// to a protected name may be made and removed (asDir) and nothing else: it must
// not become a file or a link, nor be moved.
//
// A grant of the protected path itself, or of something inside it, is consent.
func (s *Subject) protects(r *rule, clean string, asDir bool) string {
	host := r.hostOf(clean)
	folded := foldPath(host)
	end, partial := matchProtected(folded, len(foldPath(r.host)))
	if end == 0 || partial && asDir {
		return ""
	}
	for _, u := range s.unprotect {
		if under(folded, u) {
			return ""
		}
	}
	// Folding may change lengths, so the name is cut by components.
	n := strings.Count(folded[:end], "/")
	return cutComponents(host, n)
}

// cutComponents returns the first n components of an absolute path.
func cutComponents(p string, n int) string {
	for i := 1; i < len(p); i++ {
		if p[i] == '/' {
			if n--; n == 0 {
				return p[:i]
			}
		}
	}
	return p
}

// zones are directories that hold repositories of their own, at any depth: a
// component there that is one of zoneNames is protected like the same name in
// ".git". The zone itself is on the way to them; files between are ordinary, and
// directories between are pinned (see zoneOf).
var (
	zones     = [...]string{".git/modules", ".git/worktrees"}
	zoneNames = [...]string{"hooks", "config", "config.worktree", "commondir"}
)

// matchProtected looks for a protected name in a folded absolute path, ending
// strictly after the first skip bytes. It returns where the name ends, and
// whether the path stops on the way to one instead; 0 if there is none. It takes
// time in proportion to the length of p.
func matchProtected(p string, skip int) (end int, partial bool) {
	zone := len(p) // components that begin after it are inside a zone
	for start := 0; start < len(p); {
		next := componentEnd(p, start+1)
		name := p[start+1 : next]
		if start > zone && next > skip && slices.Contains(zoneNames[:], name) {
			return next, false
		}
		if short, ok := shortName(name); ok {
			for _, pat := range protectedNames {
				first, _, _ := strings.Cut(pat, "/")
				if !short.of(first) {
					continue
				}
				if e, part := matchAt(p, start, pat); e > skip {
					if !part {
						return e, false
					}
					end, partial = e, true
				}
			}
		}
		if name == "git~1" {
			name = ".git" // for the zones
		}
		if name == "" || name[0] != '.' {
			start = next // every protected name begins with a dot
			continue
		}
		for _, pat := range protectedNames {
			if !begins(pat, name) {
				continue
			}
			e, part := matchAt(p, start, pat)
			if e <= skip {
				continue
			}
			if !part {
				return e, false
			}
			end, partial = e, true
		}
		if e := zoneEnd(p, start, name); e > 0 {
			zone = min(zone, e)
			if e == len(p) && e > skip {
				end, partial = e, true
			}
		}
		start = next
	}
	return end, partial
}

// begins reports whether name is the first component of pat.
func begins(pat, name string) bool {
	return strings.HasPrefix(pat, name) && (len(pat) == len(name) || pat[len(name)] == '/')
}

// zoneEnd returns where the name of a zone that begins at start ends, or 0. name
// is the component at start.
func zoneEnd(p string, start int, name string) int {
	if name != ".git" {
		return 0
	}
	for _, z := range zones {
		if e, part := matchAt(p, start, z); e > 0 && !part {
			return e
		}
	}
	return 0
}

// componentEnd returns the index of the next slash at or after i, or len(p).
func componentEnd(p string, i int) int {
	if i >= len(p) {
		return len(p)
	}
	if j := strings.IndexByte(p[i:], '/'); j >= 0 {
		return i + j
	}
	return len(p)
}

// matchAt matches pat against the components of p from start, which is at a
// slash. It returns where the match ends and whether p ended before pat did.
func matchAt(p string, start int, pat string) (end int, partial bool) {
	pc, rest, more := strings.Cut(pat, "/")
	if start >= len(p) {
		return 0, false
	}
	e := componentEnd(p, start+1)
	name := p[start+1 : e]
	if !matchName(pc, name) {
		return 0, false
	}
	if !more {
		return e, false
	}
	if e == len(p) {
		return e, true
	}
	return matchAt(p, e, rest)
}

// matchName compares one pattern component with a folded name.
func matchName(pat, name string) bool {
	if pat == name {
		return true
	}
	if short, ok := shortName(name); ok && short.of(pat) {
		return true
	}
	if !strings.Contains(pat, "*") {
		return false
	}
	ok, err := path.Match(pat, name)
	return ok && err == nil
}

// short is a name of eight and three characters, as FAT gives one to each file: what
// precedes the tilde and the number, how much room the number leaves for it, and the
// extension.
type short struct {
	base, ext string
	room      int
}

// shortName takes a folded name apart. The number is not looked at: it depends on
// which names the directory had before.
func shortName(name string) (short, bool) {
	i := strings.IndexByte(name, '~')
	if i < 1 || i > 6 {
		return short{}, false
	}
	number, ext, _ := strings.Cut(name[i+1:], ".")
	if number == "" || strings.Trim(number, "0123456789") != "" {
		return short{}, false
	}
	return short{base: name[:i], ext: ext, room: 7 - len(number)}, len(number) < 7
}

// of reports whether FAT might give s to the file named long. Dots before the last do
// not count, and neither does one at the beginning. Instead of its first letters two of
// them may stand there and a checksum.
func (s short) of(long string) bool {
	base, ext := strings.TrimLeft(long, "."), ""
	if i := strings.LastIndexByte(base, '.'); i >= 0 {
		base, ext = strings.ReplaceAll(base[:i], ".", ""), base[i+1:]
	}
	if i := strings.IndexByte(base, '*'); i >= 0 {
		base = base[:i]
	}
	if len(ext) > 3 {
		ext = ext[:3]
	}
	if s.ext != ext {
		return false
	}
	if base[:min(len(base), s.room)] == s.base {
		return true
	}
	return len(s.base) == 6 && len(base) >= 2 && s.base[:2] == base[:2] && hex(s.base[2:])
}

// hex reports whether s is a checksum.
func hex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// zoneOf returns a name that is protected directly inside the directory p, a
// folded path, because p stands in a zone; "" otherwise. Moving such a directory
// would move that name.
func zoneOf(p string) string {
	for start := 0; start < len(p); {
		next := componentEnd(p, start+1)
		name := p[start+1 : next]
		if name == "git~1" {
			name = ".git"
		}
		if e := zoneEnd(p, start, name); e > 0 && e < len(p) {
			return "config.worktree"
		}
		start = next
	}
	return ""
}

// foldPath folds every component of p, so that names which some host file system
// takes for the same compare equal: case, characters that HFS+ ignores, trailing
// dots and spaces that FAT drops.
func foldPath(p string) string {
	if isFolded(p) {
		return p
	}
	var b strings.Builder
	b.Grow(len(p))
	for i, c := range strings.Split(p, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(foldName(c))
	}
	return b.String()
}

// isFolded is the quick answer for the usual path: ASCII without capitals and
// without a dot or space at the end of a component.
func isFolded(p string) bool {
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c >= utf8.RuneSelf, 'A' <= c && c <= 'Z':
			return false
		case (c == '.' || c == ' ') && (i+1 == len(p) || p[i+1] == '/'):
			return false
		}
	}
	return true
}

func foldName(c string) string {
	folded := strings.Map(func(r rune) rune {
		switch {
		case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff:
			return -1
		case r == utf8.RuneError:
			return r
		}
		return unicode.ToLower(unicode.ToUpper(r))
	}, c)
	if t := strings.TrimRight(folded, ". "); t != "" {
		return t
	}
	return folded
}
