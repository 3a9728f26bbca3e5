package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
)

// shownOctets limits a foreign text, in octets.
const shownOctets = 2000

// functions are those of the page.
var functions = template.FuncMap{
	"foreign": foreign,
	"number":  number[int],
	"octets":  octets,
	"plural":  plural,
	"took":    took,
}

// foreign makes a text of a server or a message harmless.
func foreign(text string) string { return escape.Text([]byte(text), shownOctets) }

// number writes a number with its thousands apart.
func number[N int | int64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// plural writes a number and a noun.
func plural(n int, one string, more ...string) string {
	switch {
	case n == 1:
		return "1 " + one
	case len(more) > 0:
		return number(n) + " " + more[0]
	}
	return number(n) + " " + one + "s"
}

// octets writes a size with at most three digits.
func octets(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size /= 1 << 10; size < 999.5 {
			break
		}
	}
	if size < 9.95 && size != math.Trunc(size) {
		return fmt.Sprintf("%.1f %s", size, unit)
	}
	return fmt.Sprintf("%.0f %s", size, unit)
}

// took writes how long something took.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%.1g s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// moment is a time as the page shows it.
type moment struct {
	Machine string // RFC 3339
	Date    string
	Ago     string // how long before the page was made; or "in" so long
}

// momentOf returns nil for the zero time.
func momentOf(at, made time.Time) *moment {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	ago := took(made.Sub(at).Round(time.Second)) + " ago"
	if at.After(made) {
		ago = "in " + took(at.Sub(made).Round(time.Second))
	}
	return &moment{at.Format(time.RFC3339), at.Format("2006-01-02 15:04"), ago}
}

// dayName writes a day.
func dayName(day time.Time) string { return day.Format("2 Jan 2006") }
