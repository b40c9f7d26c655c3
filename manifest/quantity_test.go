package manifest

import (
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]uint64{
		"1": 1, "65536": 65536, "1B": 1, "64M": 64 << 20, "64m": 64 << 20, "64MiB": 64 << 20, "64Mi": 64 << 20, "64MB": 64e6,
		"1.5G": 3 << 29, "0.5K": 512, "2 GiB": 2 << 30, "1T": 1 << 40, "8191T": 8191 << 40, " 7K ": 7 << 10,
	} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "M", "0", "0M", "-1", "-1M", "1e3", "64Q", "1..5M", "0.5", "0x10", "9999999999999T", "99999999999999999999", "1.8e19", "NaN", "Inf", "64 M M", "1_000"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", s, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"1s": time.Second, "250ms": 250 * time.Millisecond, "1m30s": 90 * time.Second, "10": 10 * time.Second, "0.5": 500 * time.Millisecond, "2h": 2 * time.Hour} {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "0", "0s", "-1s", "-5", "soon", "1d", "NaN", "Inf", "1e9", "99999999999h", "0x10", "1_0", "9999999999999"} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", s, got)
		}
	}
}

func TestParseNumbers(t *testing.T) {
	for _, s := range []string{"", "0", "-1", "NaN", "Inf", "many", "1e300"} {
		if got, err := ParseCPUs(s); err == nil {
			t.Errorf("ParseCPUs(%q) = %v", s, got)
		}
	}
	for _, s := range []string{"", "0", "-1", "1.5", "2147483648", "x"} {
		if got, err := ParseCount(s); err == nil {
			t.Errorf("ParseCount(%q) = %v", s, got)
		}
	}
	for _, s := range []string{"", "-1", "11", "5.0", "high"} {
		if got, err := ParsePriority(s); err == nil {
			t.Errorf("ParsePriority(%q) = %v", s, got)
		}
	}
	if f, err := ParseCPUs("0.5"); err != nil || f != 0.5 {
		t.Errorf("ParseCPUs: %v, %v", f, err)
	}
	if n, err := ParsePriority("0"); err != nil || n != 0 {
		t.Errorf("ParsePriority: %v, %v", n, err)
	}
}

func TestParseGrant(t *testing.T) {
	for s, want := range map[string][2]string{
		"data":            {"data", ""},
		"/a/b":            {"/a/b", ""},
		"data:/in":        {"data", "/in"},
		"data:in.dir":     {"data", "in.dir"},
		"data:.":          {"data", "."},
		`a\:b`:            {"a:b", ""},
		`a\:b:/c\:d`:      {"a:b", "/c:d"},
		`a\\:/x`:          {`a\`, "/x"},
		`a\b`:             {`a\b`, ""},
		`trailing\`:       {`trailing\`, ""},
		"with space:/ in": {"with space", "/ in"},
	} {
		host, guest, err := ParseGrant(s)
		if err != nil || host != want[0] || guest != want[1] {
			t.Errorf("ParseGrant(%q) = %q, %q, %v; want %q", s, host, guest, err, want)
		}
	}
	for s, want := range map[string]string{"": "no host path", ":/x": "no host path", "a:": "guest path is empty", "a:../b": "component ..", "a:/x/../b": "component ..", "a:/b:ro": "more than one colon", "a\x00": "zero byte"} {
		if _, _, err := ParseGrant(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseGrant(%q): %v, want %q", s, err, want)
		}
	}
}
