package cedar

import "fmt"

// Bounds of the text of one policy. The library parses and evaluates by recursion, and a
// stack that overflows ends the whole kernel: what people write is far from either.
const (
	maxStatement = 64 << 10 // bytes
	maxNesting   = 100      // of brackets
)

// bounded refuses a text with a policy that is longer or deeper nested than that.
func bounded(s Source) error {
	line, depth, begin := 1, 0, 0
	for i := 0; i < len(s.Text); i++ {
		switch s.Text[i] {
		case '\n':
			line++
		case '"':
			for i++; i < len(s.Text) && s.Text[i] != '"'; i++ {
				if s.Text[i] == '\\' {
					i++
				} else if s.Text[i] == '\n' {
					line++
				}
			}
		case '/':
			if i+1 < len(s.Text) && s.Text[i+1] == '/' {
				for i < len(s.Text) && s.Text[i] != '\n' {
					i++
				}
				i-- // the end of the line is looked at next
			}
		case '(', '[', '{':
			if depth++; depth > maxNesting {
				return &Error{File: s.Name, Line: line, Column: 1, Problem: fmt.Sprintf("brackets are nested more than %d deep", maxNesting), Fix: "divide the policy"}
			}
		case ')', ']', '}':
			depth--
		case ';':
			begin = i
		}
		if i-begin > maxStatement {
			return &Error{File: s.Name, Line: line, Column: 1, Problem: fmt.Sprintf("a policy has more than %d bytes", maxStatement), Fix: "divide it"}
		}
	}
	return nil
}
