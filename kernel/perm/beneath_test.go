package perm

import "testing"

func TestProtectedBeneath(t *testing.T) {
	for _, tt := range []struct {
		root, rel string
		asDir     bool
		want      string
	}{
		{"/home/u/repo", "main.go", false, ""},
		{"/home/u/repo", ".git/hooks/pre-commit", false, ".git/hooks"},
		{"/home/u/repo", "sub/.GIT/Hooks", true, "sub/.GIT/Hooks"},
		{"/home/u/repo", ".git", true, ""},
		{"/home/u/repo", ".git", false, ".git"},
		{"/home/u/repo", ".bashrc", false, ".bashrc"},
		{"/", ".vscode/tasks.json", false, ".vscode"},
		{"/home/u/.vscode", "tasks.json", false, ""}, // the grant of the protected directory itself is consent
		{"/home/u/.git", "config", false, "config"},
		{"/home/u/repo", ".git/modules/m/config", false, ".git/modules/m/config"},
	} {
		if got := ProtectedBeneath(tt.root, tt.rel, tt.asDir); got != tt.want {
			t.Errorf("ProtectedBeneath(%q, %q, %t) = %q, want %q", tt.root, tt.rel, tt.asDir, got, tt.want)
		}
	}
}
