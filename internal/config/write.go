package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// Write writes the configuration in force as TOML. [defaults] is applied, and every key that has a
// default is written. A password is shown as "***". Load can read the result, unless there are accounts of
// a database (Add), each of which has its targets in front.
func (c *Config) Write(w io.Writer) error {
	var b strings.Builder
	for _, line := range assignments(topKeys, c) {
		b.WriteString(line + "\n")
	}
	writeTargets(&b, c.Targets)
	for i := range c.Accounts {
		a := &c.Accounts[i]
		if own := c.stored[a.Name]; own != nil {
			writeTargets(&b, own.Targets)
		}
		fmt.Fprintf(&b, "\n[%s]\n", dottedTOML(accountTable, a.Name))
		for _, line := range assignments(accountKeys, a) {
			b.WriteString(line + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeTargets writes the tables of targets.
func writeTargets(b *strings.Builder, targets []Target) {
	for i := range targets {
		t := &targets[i]
		fmt.Fprintf(b, "\n[%s]\n", dottedTOML(targetTable, t.Name))
		for _, line := range assignments(targetKeys, t) {
			b.WriteString(line + "\n")
		}
	}
}

// assignments returns the values of t as "key = value", in the order of keys.
func assignments[T any](keys table[T], t *T) []string {
	var lines []string
	for i := range keys {
		r := &keys[i]
		if r.means != nil && !r.means(t) {
			continue
		}
		if text := r.toml(t); text != "" {
			lines = append(lines, r.name+" = "+text)
		}
	}
	return lines
}

// inline returns t as an inline TOML table, or "" if nothing is set.
func inline[T any](keys table[T], t *T) string {
	if reflect.ValueOf(t).Elem().IsZero() {
		return ""
	}
	return "{" + strings.Join(assignments(keys, t), ", ") + "}"
}

// String returns when messages are deleted, as it is written in the file.
func (d Delete) String() string {
	switch {
	case !d.Enabled:
		return "never"
	case d.After == 0:
		return "delivered"
	}
	return timeText(d.After, "")
}

// String returns the value as it is written in the file.
func (i Initial) String() string {
	switch {
	case !i.Limited:
		return "all"
	case i.Within == 0:
		return "none"
	}
	return timeText(i.Within, "")
}

// String returns the value as it is written in the file.
func (s Since) String() string {
	if !s.Date.IsZero() {
		return s.Date.Format(time.DateOnly)
	}
	return timeText(s.Within, "none")
}

// timeText returns d in the largest unit that keeps it whole. For no time it returns zero.
func timeText(d time.Duration, zero string) string {
	if d == 0 {
		return zero
	}
	for _, unit := range []string{"d", "h", "m"} {
		if d%units[unit] == 0 {
			return fmt.Sprintf("%d%s", d/units[unit], unit)
		}
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// TimeText returns a time as the file has it, such as "5m".
func TimeText(d time.Duration) string { return timeText(d, "0s") }

// quote returns s as a TOML string that is safe to show on a terminal.
func quote(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	return `"` + b.String() + `"`
}

// quoteSome returns s as a TOML string, or "" for an empty one.
func quoteSome(s string) string {
	if s == "" {
		return ""
	}
	return quote(s)
}

// dottedTOML returns a path as TOML, quoted where needed.
func dottedTOML(path ...string) string {
	parts := make([]string, len(path))
	for i, part := range path {
		parts[i] = part
		if dotted(part) != part {
			parts[i] = quote(part)
		}
	}
	return strings.Join(parts, ".")
}

// quoteList returns a list of TOML strings.
func quoteList(list []string) string {
	var quoted []string
	for _, s := range list {
		quoted = append(quoted, quote(s))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
