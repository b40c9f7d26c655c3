package event

import (
	"os"
	"strings"
)

// clocksource is the name of the hardware clock that Linux itself uses, or ""
// where it does not say, which reads as "none to be trusted".
func clocksource() string {
	b, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
