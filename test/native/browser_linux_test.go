package native

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

const page = `<!DOCTYPE html><body style="margin:0;background:#00aa00">
<canvas id=c width=200 height=150 style="display:block"></canvas>
<script>
const c = document.getElementById("c").getContext("2d");
c.fillStyle = "rgb(" + [10, 20, 30].map(n => n * 5).join(",") + ")";
c.fillRect(0, 0, 200, 150);
</script>`

// TestBrowser: Chromium renders a page with a script to an image. Its own sandbox is
// made of namespaces, which programs do not get.
func TestBrowser(t *testing.T) {
	if !*everything {
		t.Skip("with -native only")
	}
	need(t, "chromium")
	h := newHouse(t)
	h.users(t, func(t *testing.T, u *user) {
		u.contained(t)
		dir := u.work(t, map[string]string{"page.html": page})
		flags := []string{"--write", dir}
		if _, err := os.Stat("/etc/chromium.d"); err == nil { // what Debian's script reads
			flags = append(flags, "--read", "/etc/chromium.d")
		}
		o := u.inside(t, dir, flags, []string{"/usr/bin/chromium", "--headless", "--no-sandbox", "--disable-gpu",
			"--hide-scrollbars", "--window-size=400,300", "--screenshot=" + dir + "/page.png", "file://" + dir + "/page.html"})
		if o.status != 0 {
			t.Fatal(o)
		}
		f, err := os.Open(filepath.Join(dir, "page.png"))
		if err != nil {
			t.Fatal(err, o)
		}
		defer f.Close()
		img, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		if b := img.Bounds(); b.Dx() != 400 || b.Dy() != 300 {
			t.Errorf("the image is %v", b)
		}
		for _, p := range []struct{ x, y, r, g, b int }{{100, 75, 50, 100, 150}, {199, 149, 50, 100, 150}, {300, 75, 0, 170, 0}, {10, 200, 0, 170, 0}} {
			r, g, b, _ := img.At(p.x, p.y).RGBA()
			if int(r>>8) != p.r || int(g>>8) != p.g || int(b>>8) != p.b {
				t.Errorf("at %d, %d is %d %d %d", p.x, p.y, r>>8, g>>8, b>>8)
			}
		}
	})
}
