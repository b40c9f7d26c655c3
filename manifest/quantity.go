package manifest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// units are the factors of sizes. As with other tools of this kind a bare letter
// counts in 1024s; only the spelling with a B and no i is decimal.
var units = map[string]float64{
	"": 1, "b": 1,
	"k": 1 << 10, "ki": 1 << 10, "kib": 1 << 10, "kb": 1e3,
	"m": 1 << 20, "mi": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gi": 1 << 30, "gib": 1 << 30, "gb": 1e9,
	"t": 1 << 40, "ti": 1 << 40, "tib": 1 << 40, "tb": 1e12,
}

var errSize = errors.New("is not a size; write bytes, or a number with K, M, G, T (1024s) or KB, MB, GB, TB (1000s), like 64M")

// ParseSize reads a number of bytes: "65536", "64M", "1.5GiB", "100MB". K, M, G,
// and T count in 1024s, with or without iB; KB, MB, GB, and TB in 1000s. Zero,
// negative, and over-large sizes are errors.
func ParseSize(s string) (uint64, error) {
	t := strings.TrimSpace(s)
	cut := strings.IndexFunc(t, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if cut < 0 {
		cut = len(t)
	}
	num, unit := t[:cut], strings.ToLower(strings.TrimSpace(t[cut:]))
	factor, ok := units[unit]
	if !ok || num == "" {
		return 0, fmt.Errorf("%q %w", s, errSize)
	}
	if n, err := strconv.ParseUint(num, 10, 64); err == nil {
		f := uint64(factor)
		if n == 0 {
			return 0, fmt.Errorf("%q is zero; the least is 1", s)
		}
		if n > math.MaxInt64/f {
			return 0, fmt.Errorf("%q is too large", s)
		}
		return n * f, nil
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil {
		return 0, fmt.Errorf("%q %w", s, errSize)
	}
	switch f *= factor; {
	case f < 1:
		return 0, fmt.Errorf("%q is less than one byte", s)
	case f >= math.MaxInt64:
		return 0, fmt.Errorf("%q is too large", s)
	}
	return uint64(f), nil
}

// ParseDuration reads a positive duration: "250ms", "1m30s", "2h", or a bare
// number of seconds.
func ParseDuration(s string) (time.Duration, error) {
	t := strings.TrimSpace(s)
	d, err := time.ParseDuration(t)
	if err != nil {
		secs, nerr := strconv.ParseFloat(t, 64)
		if nerr != nil || math.IsNaN(secs) || math.Abs(secs) >= math.MaxInt64/1e9 || strings.ContainsAny(t, "xXpP_eE") {
			return 0, fmt.Errorf("%q is not a duration; write a number with ms, s, m, or h, like 1m30s", s)
		}
		d = time.Duration(secs * 1e9)
	}
	if d <= 0 {
		return 0, fmt.Errorf("%q is not more than zero; leave it out for no limit", s)
	}
	return d, nil
}

// ParseCPUs reads a positive number of processors, which may be a fraction.
func ParseCPUs(s string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f <= 0 || f > 1<<16 {
		return 0, fmt.Errorf("%q is not a number of processors; write a number greater than 0, like 2 or 0.5", s)
	}
	return f, nil
}

// ParseCount reads a whole number from 1 to 2³¹−1.
func ParseCount(s string) (int, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a count; write a whole number from 1 to %d", s, math.MaxInt32)
	}
	return int(n), nil
}

// ParsePriority reads a priority from 0 (least) to 10.
func ParsePriority(s string) (int, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 8)
	if err != nil || n < 0 || n > 10 {
		return 0, fmt.Errorf("%q is not a priority; write a whole number from 0 (least) to 10", s)
	}
	return int(n), nil
}

var errGrant = errors.New("write HOST or HOST:GUEST; a colon that belongs to a path is written \\:")

// ParseGrant splits HOST[:GUEST]. A colon in a path is written \: and a
// backslash before a colon or backslash \\. GUEST, if given, must be absolute;
// guest is empty otherwise. Neither path is looked up.
func ParseGrant(s string) (host, guest string, err error) {
	parts := make([]string, 0, 2)
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == 0:
			return "", "", fmt.Errorf("%q has a zero byte", s)
		case c == '\\' && i+1 < len(s) && (s[i+1] == ':' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case c == ':':
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(c)
		}
	}
	parts = append(parts, b.String())
	switch {
	case parts[0] == "":
		return "", "", fmt.Errorf("%q names no host path; %w", s, errGrant)
	case len(parts) > 2:
		return "", "", fmt.Errorf("%q has more than one colon; %w (whether a grant may write is said by --read or --write, not by a third field)", s, errGrant)
	case len(parts) == 1:
		return parts[0], "", nil
	case parts[1] == "":
		return "", "", fmt.Errorf("%q: the guest path is empty; %w", s, errGrant)
	case slices.Contains(strings.Split(parts[1], "/"), ".."):
		return "", "", fmt.Errorf("%q: the guest path %q has a component ..; %w", s, parts[1], errGrant)
	}
	return parts[0], parts[1], nil
}

// ParseDenied reads the path of a deny entry, with the escapes of [ParseGrant]
// but without a guest path: what is denied is denied wherever it is mounted.
func ParseDenied(s string) (string, error) {
	host, guest, err := ParseGrant(s)
	if err != nil {
		return "", err
	}
	if guest != "" {
		return "", fmt.Errorf("%q has a guest path; a denied path is named once and is denied wherever it appears; a colon that belongs to it is written \\:", s)
	}
	return host, nil
}

// CheckKey says what is wrong with the name of an environment variable, or "".
func CheckKey(k string) string {
	switch {
	case k == "":
		return "has no name; write KEY=VALUE, or KEY to pass the caller's on"
	case strings.ContainsAny(k, "=\x00"):
		return "has = or a zero byte in its name"
	}
	return ""
}
