package observe

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/agentos-kernel/agentos/kernel/event"
)

// documentVersion is the version field of every line.
const documentVersion = 1

// AppendJSON appends the JSON document of one event and a newline. seq numbers
// the lines of a document; run names the run.
//
// Texts are bytes, JSON strings are not: in them a backslash stands as `\\` and
// a byte that is not UTF-8 as `\xNN` (before JSON's own escaping), so that every
// name can be told from every other and [Unescape] gives it back.
func AppendJSON(b []byte, seq uint64, run string, r *event.Record) []byte {
	b = append(b, `{"version":`...)
	b = strconv.AppendInt(b, documentVersion, 10)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, `,"id":"`...)
	b = append(b, r.ID.String()...)
	b = append(b, `","time":"`...)
	b = r.Time().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","run":`...)
	b = appendText(b, run)
	b = append(b, `,"pid":`...)
	b = strconv.AppendUint(b, uint64(r.PID), 10)
	b = append(b, `,"category":"`...)
	b = append(b, r.Category.String()...)
	b = append(b, `","kind":"`...)
	b = append(b, r.Kind.String()...)
	b = append(b, `","via":`...)
	b = appendText(b, r.Via)
	b = append(b, `,"severity":"`...)
	b = append(b, r.Severity.String()...)
	b = append(b, `","chain":"`...)
	b = append(b, r.Chain.String()...)
	b = append(b, `","parent":"`...)
	b = append(b, r.Parent.String()...)
	b = append(b, `","dur_ns":`...)
	b = strconv.AppendInt(b, r.DurNS, 10)
	b = append(b, `,"weight":1,"outcome":"`...)
	b = append(b, r.Errno.String()...)
	b = append(b, `","attrs":{`...)
	b = appendAttrs(b, r)
	return append(b, "}}\n"...)
}

// appendAttrs appends the members of the attrs object.
func appendAttrs(b []byte, r *event.Record) []byte {
	info := r.Kind.Info()
	start := len(b)
	key := func(name string) {
		if len(b) > start {
			b = append(b, ',')
		}
		b = appendText(b, name)
		b = append(b, ':')
	}
	number := func(n event.Number, v uint64) {
		switch {
		case n.Name == "" || v == event.Absent:
			return
		case n.Symbol != nil:
			key(n.Name)
			b = appendText(b, n.Symbol(v))
		default:
			key(n.Name)
			b = strconv.AppendUint(b, v, 10)
		}
	}
	text := func(t event.Text, s string) {
		if t.Name == "" || s == "" {
			return
		}
		key(t.Name)
		b = appendText(b, redact(t.Form, s))
	}
	number(info.A, r.A)
	number(info.B, r.B)
	text(info.Text, r.Text)
	text(info.Text2, r.Text2)
	if r.Cut {
		key("truncated")
		b = append(b, "true"...)
	}
	if r.TextLost {
		key("text_lost")
		b = append(b, "true"...)
	}
	return b
}

const hexDigits = "0123456789abcdef"

// appendText appends s as a JSON string, escaped as [AppendJSON] says. Control
// characters and those that reorder or break lines are written as \u escapes, so
// that a terminal shows the document as it is.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '\\':
				b = append(b, `\\\\`...)
			case c == '"':
				b = append(b, `\"`...)
			case c < 0x20 || c == 0x7f:
				b = append(b, `\u00`...)
				b = append(b, hexDigits[c>>4], hexDigits[c&15])
			default:
				b = append(b, c)
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\\x`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		case deceptive(r):
			b = append(b, `\u`...)
			for shift := 12; shift >= 0; shift -= 4 {
				b = append(b, hexDigits[r>>shift&15])
			}
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return append(b, '"')
}

// deceptive reports whether r is a control character, a line or paragraph
// separator, or one that changes the direction of text.
func deceptive(r rune) bool {
	switch {
	case r >= 0x80 && r <= 0x9f, r == 0x061c, r == 0xfeff:
		return true
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	}
	return false
}

// Unescape gives back the bytes of a text that was read from a JSON line. It
// reports false where s is not what [AppendJSON] writes.
func Unescape(s string) (string, bool) {
	if !strings.Contains(s, `\`) {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\':
			b = append(b, s[i])
		case strings.HasPrefix(s[i:], `\\`):
			b = append(b, '\\')
			i++
		case strings.HasPrefix(s[i:], `\x`) && len(s) >= i+4:
			v, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
			if err != nil {
				return "", false
			}
			b = append(b, byte(v))
			i += 3
		default:
			return "", false
		}
	}
	return string(b), true
}

// hidden stands for what was taken out.
const hidden = "[redacted]"

// redact takes secrets out of a text of the given form: the value of a variable,
// and the user, query, and fragment of a URL. A path is shown as it is.
func redact(f event.Form, s string) string {
	switch f {
	case event.Env:
		if key, _, ok := strings.Cut(s, "="); ok {
			return key + "=" + hidden
		}
		return s
	case event.URL:
		return redactURL(s)
	case event.Prose:
		return redactProse(s)
	}
	return s
}

// redactURL hides what follows a ? or #, and what precedes an @ in the
// authority.
func redactURL(s string) string {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i+1] + hidden
	}
	start := 0
	if i := strings.Index(s, "://"); i >= 0 {
		start = i + len("://")
	}
	end := len(s)
	if i := strings.IndexAny(s[start:], "/?#"); i >= 0 {
		end = start + i
	}
	if at := strings.LastIndexByte(s[start:end], '@'); at >= 0 {
		s = s[:start] + hidden + s[start+at:]
	}
	return s
}

// redactProse redacts every URL in a message.
func redactProse(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		i := strings.Index(s, "://")
		if i < 0 {
			break
		}
		end := i + len("://")
		if n := strings.IndexAny(s[end:], " \t\r\n\"'<>`"); n >= 0 {
			end += n
		} else {
			end = len(s)
		}
		start := strings.LastIndexAny(s[:i], " \t\r\n\"'<>`") + 1
		b.WriteString(s[:start])
		b.WriteString(redactURL(s[start:end]))
		s = s[end:]
	}
	b.WriteString(s)
	return b.String()
}
