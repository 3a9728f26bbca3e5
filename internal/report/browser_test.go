package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a headless Chromium, and a server that it may ask for pages.
type browser struct {
	program string
	profile string // a folder that Chromium keeps its files in
	server  *httptest.Server

	mu    sync.Mutex
	pages map[string]string
	asked []string
}

// newBrowser skips the test if there is no Chromium. With POPFETCH_TEST_CHROMIUM=1 the test fails
// instead.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("POPFETCH_TEST_CHROMIUM") == "1" {
			t.Fatal("POPFETCH_TEST_CHROMIUM=1, but Chromium is not installed (Debian: chromium)")
		}
		t.Skip("Chromium is not installed")
	}
	b := &browser{program: program, profile: t.TempDir(), pages: make(map[string]string)}
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.asked = append(b.asked, r.URL.Path)
		page, known := b.pages[r.URL.Path]
		if !known {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(page))
	}))
	t.Cleanup(b.server.Close)
	return b
}

// show shows a page, and returns what the browser prints on standard output and on standard error.
func (b *browser) show(t *testing.T, page string, options ...string) (out, log string) {
	t.Helper()
	b.mu.Lock()
	b.pages["/page"], b.asked = page, nil
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	options = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--enable-logging=stderr", "--user-data-dir=" + b.profile}, options...)
	c := exec.CommandContext(ctx, b.program, append(options, b.server.URL+"/page")...)
	c.WaitDelay = time.Second
	var output, errors bytes.Buffer
	c.Stdout, c.Stderr = &output, &errors
	if err := c.Run(); err != nil {
		t.Fatalf("Chromium: %v; it said:\n%s", err, errors.String())
	}
	return output.String(), errors.String()
}

// measured is what the script of measuring finds out about a page.
type measured struct {
	Width, ScrollWidth int
	Dark               bool
	Over               []string // elements that reach beyond the page
	Faint              []string // texts without contrast
	Torn               []string // texts that are broken within words, or lie upon others
}

// measuring is a script that measures the page. It goes into a copy of a page, without its policy.
const measuring = `<script>
addEventListener("load", () => {
  const rgb = color => color.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = {Width: innerWidth, ScrollWidth: document.documentElement.scrollWidth,
    Dark: matchMedia("(prefers-color-scheme: dark)").matches, Over: [], Faint: [], Torn: []};
  for (const e of document.querySelectorAll("body, body *")) {
    const box = e.getBoundingClientRect(), name = e.tagName + "." + (e.getAttribute("class") || "");
    if (!box.width || e.closest("svg") && e.tagName !== "svg" || getComputedStyle(e).clipPath !== "none") continue;
    if (box.right > innerWidth + .5 || box.left < -.5) found.Over.push(name + " " + box.left + " to " + box.right);
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [front, back] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
    const contrast = (Math.max(front, back) + .05) / (Math.min(front, back) + .05);
    if (contrast < 4.5) found.Faint.push(name + " " + contrast.toFixed(2));
    const next = e.nextElementSibling, text = document.createRange(), head = e.closest("thead");
    text.selectNodeContents(e);
    const lines = new Set([...text.getClientRects()].map(r => Math.round(r.top))).size;
    const words = e.textContent.trim().split(/[\s-]+/).length, hidden = head && getComputedStyle(head).clipPath !== "none";
    if (lines > words && !hidden && !e.closest("bdi, code")) found.Torn.push(name + " " + e.textContent);
    if (e.closest(".ticks") && next?.getBoundingClientRect().left < box.right) found.Torn.push("tick " + e.textContent);
  }
  for (const key of ["Over", "Faint", "Torn"]) found[key] = [...new Set(found[key])].slice(0, 10);
  parent.document.body.append("MEASURED" + JSON.stringify(found) + "END");
});
</script></body>`

// measure measures a page at several widths. Each is that of a frame, because a window of Chromium is
// never narrower than 500.
func (b *browser) measure(t *testing.T, page string, widths []int, options ...string) (all []measured) {
	t.Helper()
	head, rest, found := strings.Cut(page, `<meta http-equiv="Content-Security-Policy"`)
	_, rest, ends := strings.Cut(rest, "\n")
	if !found || !ends {
		t.Fatal("the page has no policy")
	}
	frames := "<!DOCTYPE html><meta charset=utf-8><body>"
	for _, width := range widths {
		frames += fmt.Sprintf(`<iframe src="/framed" width="%d" height="900" style="border:0"></iframe>`, width)
	}
	b.mu.Lock()
	b.pages["/framed"] = strings.Replace(head+rest, "</body>", measuring, 1)
	b.mu.Unlock()
	dom, log := b.show(t, frames, append(options, "--dump-dom", "--virtual-time-budget=10000")...)
	for part := range strings.SplitSeq(dom, "MEASURED") {
		if text, _, ends := strings.Cut(part, "END"); ends {
			var m measured
			if err := json.Unmarshal([]byte(html.UnescapeString(text)), &m); err != nil {
				t.Fatalf("%v; the browser said %s\n%.2000s", err, log, dom)
			}
			all = append(all, m)
		}
	}
	if len(all) != len(widths) {
		t.Fatalf("%d of %d pages were measured; the browser said %s", len(all), len(widths), log)
	}
	slices.SortFunc(all, func(a, b measured) int { return a.Width - b.Width })
	return all
}

// TestBrowser_width measures pages at the widths of a telephone, a small and a large screen, in light
// and dark. Nothing is wider than the page, and all texts have the contrast of WCAG level AA.
func TestBrowser_width(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	widths := []int{320, 360, 800, 1600}
	pages := map[string]string{"one": pageOf(t, sample("work", 3, 1)), "many": pageOf(t, manySamples()...), "none": pageOf(t)}
	for _, dark := range []bool{false, true} {
		for name, page := range pages {
			for i, m := range b.measure(t, page, widths, scheme(dark)) {
				if m.Width != widths[i] || m.Dark != dark {
					t.Fatalf("the frame has the width %d, and is dark: %v; want %d and %v", m.Width, m.Dark, widths[i], dark)
				}
				if m.ScrollWidth > m.Width || len(m.Over) > 0 {
					t.Errorf("%s at %d: the page has the width %d; beyond it: %q", name, m.Width, m.ScrollWidth, m.Over)
				}
				if len(m.Torn) > 0 {
					t.Errorf("%s at %d: these texts are torn: %q", name, m.Width, m.Torn)
				}
				if len(m.Faint) > 0 {
					t.Errorf("%s at %d, dark %v: too little contrast: %q", name, m.Width, dark, m.Faint)
				}
			}
		}
	}
	wide := b.measure(t, strings.Replace(pageOf(t), "<main>", `<main><p style="width:400px;color:#888">faint</p>`, 1), []int{360}, scheme(false))
	if len(wide[0].Over) == 0 || len(wide[0].Faint) == 0 { // otherwise nothing is measured
		t.Errorf("a page that is too wide and faint measures %+v", wide)
	}
}

func scheme(dark bool) string {
	if dark {
		return "--blink-settings=preferredColorScheme=0"
	}
	return "--blink-settings=preferredColorScheme=1"
}

// TestBrowser_alone shows a page, prints it, and draws it. The browser has nothing to complain of,
// and asks for nothing but the page. POPFETCH_TEST_PICTURES names a folder that gets the pictures.
func TestBrowser_alone(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	folder, every := os.LookupEnv("POPFETCH_TEST_PICTURES")
	if !every {
		folder = t.TempDir()
	}
	for name, page := range map[string]string{"one": pageOf(t, sample("work", 3, 1)), "many": pageOf(t, manySamples()...)} {
		shows := []struct{ file, option, size, scheme string }{
			{name + ".pdf", "--print-to-pdf=", "1600,900", scheme(true)},
			{name + "-360-light.png", "--screenshot=", "360,3000", scheme(false)},
			{name + "-360-dark.png", "--screenshot=", "360,3000", scheme(true)},
			{name + "-800-light.png", "--screenshot=", "800,2400", scheme(false)},
			{name + "-1600-light.png", "--screenshot=", "1600,3000", scheme(false)},
			{name + "-1600-dark.png", "--screenshot=", "1600,3000", scheme(true)},
		}
		if !every {
			shows = shows[:2]
		}
		for _, show := range shows {
			path := filepath.Join(folder, show.file)
			_, log := b.show(t, page, show.option+path, "--window-size="+show.size, show.scheme)
			if strings.Contains(log, "CONSOLE") {
				t.Errorf("%s: the browser complains: %s", show.file, log)
			}
			if !slices.Equal(b.asked, []string{"/page"}) {
				t.Errorf("%s: the browser asked for %q", show.file, b.asked)
			}
			if written, err := os.Stat(path); err != nil || written.Size() < 10_000 {
				t.Errorf("%s: nothing is drawn (%v)", show.file, err)
			}
		}
	}
	// The test would notice a page that loads something, or breaks its own policy.
	bad := strings.Replace(pageOf(t), "</body>", `<img src="/other"></body>`, 1)
	if _, log := b.show(t, bad, "--dump-dom"); !strings.Contains(log, "CONSOLE") || !strings.Contains(log, "img-src") {
		t.Errorf("the browser does not complain of a picture: %s", log)
	}
}
