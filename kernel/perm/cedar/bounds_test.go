package cedar

import (
	"errors"
	"strings"
	"testing"
)

// TestHostileTexts loads texts that make a recursive parser overflow its stack, which
// nothing recovers from.
func TestHostileTexts(t *testing.T) {
	const begin = "forbid(principal, action, resource) when { "
	for _, text := range []string{
		begin + strings.Repeat("(", 2<<20),
		begin + strings.Repeat("[", 2<<20),
		begin + strings.Repeat("!", 2<<20) + "true };",
		begin + strings.Repeat("-", 60<<10) + "1 == 1 };",
		begin + strings.Repeat("!", 60<<10) + "true };",
		begin + "true" + strings.Repeat(" && true", 400_000) + "};",
		begin + strings.Repeat("if true then ", 200_000),
		begin + strings.Repeat("if true then ", 4_000) + "true };",
		begin + "true" + strings.Repeat("&&true", 9_000) + "};",
		begin + "principal" + strings.Repeat(".a", 30_000) + " };",
		"@x(\"" + strings.Repeat("\\", 3_000_000),
		"//" + strings.Repeat("(", 1000) + "\n" + begin + "\"((((\" == \"\" };",
	} {
		e, err := Load([]Source{{"hostile.cedar", []byte(text)}}, Options{})
		if err == nil {
			e.Decide(someone, file(1, "/x")) // evaluated by recursion as well
			continue
		}
		var x *Error
		if !errors.As(err, &x) {
			t.Errorf("%.60s…: %.200v", text, err)
		}
	}
}
