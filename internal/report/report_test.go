package report

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"
)

// element is an element of a page, with its attributes and the text directly within.
type element struct {
	name string
	attr map[string]string
	text string
}

// voids are the elements of a page that have no end.
var voids = []string{"meta"}

// elementsOf reads a page. Each element must end, in the order of their beginnings.
func elementsOf(t *testing.T, page string) []*element {
	t.Helper()
	var all, open []*element
	for tokens := html.NewTokenizer(strings.NewReader(page)); ; {
		kind := tokens.Next()
		token := tokens.Token()
		switch kind {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Fatalf("the element %s does not end", open[len(open)-1].name)
			}
			return all
		case html.StartTagToken, html.SelfClosingTagToken:
			e := &element{name: token.Data, attr: make(map[string]string)}
			for _, a := range token.Attr {
				if _, twice := e.attr[a.Key]; twice {
					t.Fatalf("%s has its attribute %s twice", token.Data, a.Key)
				}
				e.attr[a.Key] = a.Val
			}
			all = append(all, e)
			if kind == html.StartTagToken && !slices.Contains(voids, token.Data) {
				open = append(open, e)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1].name != token.Data {
				t.Fatalf("</%s> ends no open element", token.Data)
			}
			open = open[:len(open)-1]
		case html.TextToken:
			if len(open) > 0 {
				open[len(open)-1].text += token.Data
			} else if strings.TrimSpace(token.Data) != "" {
				t.Fatalf("text outside of the page: %q", token.Data)
			}
		}
	}
}

func named(all []*element, name string) (found []*element) {
	for _, e := range all {
		if e.name == name {
			found = append(found, e)
		}
	}
	return found
}

// TestWrite_alone checks that a page has no script, loads nothing, and links only to itself.
func TestWrite_alone(t *testing.T) {
	all := elementsOf(t, pageOf(t, manySamples()...))
	ids := make(map[string]bool)
	for _, e := range all {
		if id, ok := e.attr["id"]; ok {
			if ids[id] {
				t.Errorf("two elements have the id %s", id)
			}
			ids[id] = true
		}
	}
	policy := ""
	for _, e := range all {
		switch e.name {
		case "script", "link", "img", "iframe", "object", "embed", "form", "base", "audio", "video", "image", "use", "foreignObject":
			t.Errorf("the page has an element %s", e.name)
		case "meta":
			if e.attr["http-equiv"] == "Content-Security-Policy" {
				policy = e.attr["content"]
			}
		case "style":
			if strings.Contains(e.text, "url(") || strings.Contains(e.text, "@import") {
				t.Error("the style loads something")
			}
		}
		for key, value := range e.attr {
			to := strings.TrimPrefix(value, "#")
			switch {
			case key == "src" || strings.HasPrefix(key, "on"):
				t.Errorf("%s has %s=%q", e.name, key, value)
			case (key == "href" || key == "aria-labelledby") && !ids[to]:
				t.Errorf("%s has %s=%q, and nothing has that id", e.name, key, value)
			}
		}
	}
	if policy != "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'" {
		t.Errorf("the policy of the page is %q", policy)
	}
}

// TestWrite_structure checks what a person needs who does not see the page: one main heading, a
// heading for each account, captions, and words for each drawing.
func TestWrite_structure(t *testing.T) {
	accounts := manySamples()
	all := elementsOf(t, pageOf(t, accounts...))
	if n := len(named(all, "h1")); n != 1 {
		t.Errorf("the page has %d main headings", n)
	}
	if n, want := len(named(all, "h2")), 1+len(accounts); n != want {
		t.Errorf("the page has %d headings, want %d", n, want)
	}
	if tables, captions := len(named(all, "table")), len(named(all, "caption")); tables != captions {
		t.Errorf("%d tables have %d captions", tables, captions)
	}
	if figures, captions := len(named(all, "figure")), len(named(all, "figcaption")); figures != captions || figures != 1+2*(len(accounts)-1) {
		t.Errorf("there are %d charts with %d captions, want %d", figures, captions, 1+2*(len(accounts)-1))
	}
	for _, e := range named(all, "svg") {
		if e.attr["aria-hidden"] != "true" && (e.attr["role"] != "img" || e.attr["aria-label"] == "") {
			t.Errorf("a drawing has no words: %v", e.attr)
		}
	}
	for _, e := range named(all, "th") {
		if e.attr["scope"] == "" {
			t.Errorf("the head %q does not say what it heads", e.text)
		}
	}
	if lang := named(all, "html")[0].attr["lang"]; lang != "en" {
		t.Errorf("the language of the page is %q", lang)
	}
}

// TestWrite_foreign checks that texts of strangers become text: they change no element, and have no
// character that controls anything.
func TestWrite_foreign(t *testing.T) {
	hostile := manySamples()
	page := pageOf(t, hostile...)
	if at := strings.IndexFunc(page, func(r rune) bool {
		return unicode.Is(unicode.Bidi_Control, r) || unicode.IsControl(r) && r != '\n' || r == unicode.ReplacementChar
	}); at >= 0 {
		t.Errorf("the page has the character %q", page[at:at+4])
	}
	if n := strings.Count(page, "&lt;script&gt;"); n != 6 { // the name in three places; a unique-id, a reason, a code
		t.Errorf("the text of a stranger is there %d times", n)
	}
	harmless := manySamples()
	a := &harmless[12]
	a.Name = "harmless"
	for i := range a.Asides {
		a.Asides[i].UniqueID, a.Asides[i].Reason = "harmless", "harmless"
	}
	a.Days[399].Errors = map[string]int{"harmless": 3, "login/refused/pass/auth": 2}
	names := func(all []*element) (names []string) {
		for _, e := range all {
			names = append(names, e.name)
		}
		return names
	}
	if !reflect.DeepEqual(names(elementsOf(t, page)), names(elementsOf(t, pageOf(t, harmless...)))) {
		t.Error("texts of strangers have changed the elements of the page")
	}
}

// TestWrite_size checks that the largest page stays small.
func TestWrite_size(t *testing.T) {
	if size := len(pageOf(t, manySamples()...)); size > 2<<20 {
		t.Errorf("the page has %d octets, want at most 2 MiB", size)
	} else {
		t.Logf("30 accounts with 400 days: %d octets", size)
	}
}

// TestWrite_verdict reads the first lines of pages.
func TestWrite_verdict(t *testing.T) {
	with := func(states ...State) (accounts []Account) {
		for i, state := range states {
			accounts = append(accounts, Account{Name: fmt.Sprint("a", i), State: state, Problem: "trouble of a" + fmt.Sprint(i), Command: "popfetch check"})
		}
		return accounts
	}
	for _, test := range []struct {
		accounts []Account
		want     string
		first    string // the account that is named first
	}{
		{nil, "There is no account", ""},
		{with(Well), "Everything is well", ""},
		{with(Well, Well), "Everything is well", ""},
		{with(Unknown), "The account has not been fetched yet", ""},
		{with(Unknown, Unknown), "All 2 accounts have not been fetched yet", ""},
		{with(Well, Unknown), "Everything is well", ""},
		{with(Retrying), "The account has trouble that may pass", "a0"},
		{with(Well, Retrying), "1 of 2 accounts has trouble that may pass", "a1"},
		{with(Retrying, NeedsPerson, Well), "1 of 3 accounts needs a person", "a1"},
		{with(NeedsPerson, NeedsPerson), "All 2 accounts need a person", "a0"},
		{with(NeedsPerson, Well, NeedsPerson), "2 of 3 accounts need a person", "a0"},
	} {
		all := elementsOf(t, pageOf(t, test.accounts...))
		if got := named(all, "h2")[0].text; got != test.want {
			t.Errorf("the page says %q, want %q", got, test.want)
		}
		if got := named(all, "title")[0].text; got != "popfetch: "+test.want {
			t.Errorf("the title is %q", got)
		}
		first := ""
		if names := named(all, "bdi"); test.first != "" && len(names) > 0 {
			first = names[0].text
		}
		if first != test.first {
			t.Errorf("%s: first comes %q, want %q", test.want, first, test.first)
		}
	}
}

// TestGather puts days into slots.
func TestGather(t *testing.T) {
	day := func(ago, n int) Day {
		return Day{Date: slotOf(made, oneDay).Add(-time.Duration(ago) * oneDay), Counts: Counts{Delivered: n}}
	}
	days := []Day{day(399, 1000), day(100, 100), day(90, 7), day(8, 5), day(6, 3), day(0, 2)}
	for _, test := range []struct {
		length      time.Duration
		most        int
		first       string
		n           int
		total, last int
	}{
		{oneDay, dailySlots, "2026-09-01", 91, 17, 2},
		{oneDay, 7, "2026-11-24", 7, 5, 2},
		{oneDay, 1, "2026-11-30", 1, 2, 2},
		{oneWeek, weeklySlots, "2025-10-27", 58, 1117, 2},
		{oneDay, 1000, "2025-10-27", 400, 1117, 2},
	} {
		s := gather(days, made, test.length, test.most)
		if got := s.first.Format(time.DateOnly); got != test.first || len(s.counts) != test.n || s.total().Delivered != test.total ||
			s.counts[len(s.counts)-1].Delivered != test.last {
			t.Errorf("gather(%v, %d) begins on %s, has %d slots and %d messages, want %s, %d and %d",
				test.length, test.most, got, len(s.counts), s.total().Delivered, test.first, test.n, test.total)
		}
	}
	if s := gather(days[5:], made, oneDay, dailySlots); len(s.counts) != leastSlots || s.counts[leastSlots-1].Delivered != 2 {
		t.Errorf("one day fills %d slots", len(s.counts))
	}
	if s := gather([]Day{day(-3, 9)}, made, oneDay, dailySlots); s.total().Delivered != 0 {
		t.Error("a day in the future is counted") // the clock was wrong
	}
}

// TestSlots_chart draws a few messages.
func TestSlots_chart(t *testing.T) {
	s := slots{first: slotOf(made, oneDay).Add(-13 * oneDay), length: oneDay, counts: make([]Counts, 14)}
	s.counts[3] = Counts{Runs: 4, Delivered: 1500, Octets: 3 << 20}
	s.counts[13] = Counts{Runs: 4, Failed: 1, Delivered: 1}
	c := s.chart("x", made)
	if c.Top != "2,000" || c.Half != "1,000" || len(c.Bars) != 2 || len(c.Failed) != 1 {
		t.Errorf("the chart is %+v", c)
	}
	if want := (bar{"3.1", "25", "75", "Fri 20 Nov 2026: 1,500 messages, 3 MiB"}); c.Bars[0] != want {
		t.Errorf("its first bar is %+v, want %+v", c.Bars[0], want)
	}
	if want := (bar{"13.1", "98", "2", "Mon 30 Nov 2026: 1 message, 0 B"}); c.Bars[1] != want {
		t.Errorf("its second bar is %+v, want %+v", c.Bars[1], want)
	}
	if want := (bar{"13.1", "70", "30", "Mon 30 Nov 2026: 1 of 4 passes failed"}); c.Failed[0] != want {
		t.Errorf("the failure is %+v, want %+v", c.Failed[0], want)
	}
	want := "17 Nov 2026 to 30 Nov 2026: 1,501 messages, 3 MiB; most of them: 1,500, Fri 20 Nov 2026; 1 of 8 passes failed"
	if c.Summary != want {
		t.Errorf("the summary is %q, want %q", c.Summary, want)
	}
}

// TestSizesOf sorts messages by size.
func TestSizesOf(t *testing.T) {
	sizes := make([]int, 40)
	for magnitude, n := range map[int]int{0: 1, 10: 2, 11: 4, 12: 8, 13: 16, 26: 32, 27: 64, 39: 128} {
		sizes[magnitude] = n
	}
	got := make(map[string]int)
	for _, r := range sizesOf([]Day{{Sizes: sizes}, {Sizes: []int{1}}}) {
		got[r.Label] = r.Count
	}
	want := map[string]int{"up to 1 KiB": 4, "up to 4 KiB": 12, "up to 16 KiB": 16, "up to 64 KiB": 0, "up to 256 KiB": 0, "up to 1 MiB": 0,
		"up to 4 MiB": 0, "up to 16 MiB": 0, "up to 64 MiB": 32, "more than 64 MiB": 192}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("sizesOf() = %v, want %v", got, want)
	}
}

// TestWords has numbers, sizes and times as a person reads them.
func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		number(0): "0", number(999): "999", number(1000): "1,000", number(-1234567): "-1,234,567", number(-100): "-100",
		octets(0): "0 B", octets(1023): "1023 B", octets(1024): "1 KiB", octets(1536): "1.5 KiB", octets(1 << 20): "1 MiB",
		octets(1023 << 10): "1.0 MiB", octets(1 << 45): "32 TiB", octets(1 << 62): "4194304 TiB",
		plural(1, "pass", "passes"): "1 pass", plural(2, "pass", "passes"): "2 passes", plural(0, "message"): "0 messages",
		took(0): "0 s", took(300 * time.Millisecond): "0.3 s", took(time.Minute): "1 min", took(time.Hour): "60 min",
		took(47 * time.Hour): "47 h", took(100 * time.Hour): "4 days",
		short(600): "600", short(20000): "20k", short(5e6): "5M",
		momentOf(made.Add(time.Minute), made).Ago: "in 1 min", momentOf(made.Add(-time.Second), made).Ago: "1 s ago",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for n, want := range map[int]int{0: 2, 1: 2, 3: 4, 5: 6, 7: 10, 11: 20, 61: 100, 999: 1000} {
		if got := niceTop(n); got != want {
			t.Errorf("niceTop(%d) = %d, want %d", n, got, want)
		}
	}
}

// A poll that should have been is late.
func TestWrite_late(t *testing.T) {
	a := sample("work", 3, 1)
	for next, want := range map[time.Duration]string{
		-17 * time.Minute: "(17 min late)", 2 * time.Minute: "(in 2 min)",
	} {
		a.Next = made.Add(next)
		_, facts, _ := strings.Cut(pageOf(t, a), "<dt>Next poll</dt>")
		if facts, _, _ = strings.Cut(facts, "</div>"); !strings.Contains(facts, want) {
			t.Errorf("the next poll is %s, want %s", facts, want)
		}
	}
}

// The page shows the workers of a database, with nothing foreign in force.
func TestWrite_workers(t *testing.T) {
	var text strings.Builder
	data := &Data{Made: made, Version: "popfetch 1.0", Accounts: []Account{{Name: "a", State: Well, Holder: "process 7 on east" + foreignText, HeldSince: made.Add(-time.Minute)}},
		Sharing: &Sharing{Text: "1 account" + foreignText, Workers: []Worker{
			{Host: "east" + foreignText, Process: 7, Version: "1.0", Labels: foreignText, Seen: made.Add(-2 * time.Second), AtWork: 3, Jobs: 8, Polls: 1234, Late: 500 * time.Millisecond, Latest: 4 * time.Second},
			{Host: "west", Process: 8, Seen: made.Add(-10 * time.Minute), Silent: true},
		}}}
	if err := Write(&text, data); err != nil {
		t.Fatal(err)
	}
	page := text.String()
	for _, want := range []string{"process 7 on east", "(process 8)", "3 of 8", "1,234", "0.5 s, at most 4 s", "silent since"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "\x1b") || strings.Count(page, "silent since") != 1 {
		t.Errorf("the page has what it should not:\n%s", page)
	}
}
