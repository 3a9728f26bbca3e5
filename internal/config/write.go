package config

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// Write writes the configuration in force as TOML: [defaults] is applied, every
// key that has a default is there, and a password is shown as "***". Load reads
// what it writes.
func (c *Config) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "state_dir = %s\njobs = %d\n", quote(c.StateDir), c.Jobs)
	for _, a := range c.Accounts {
		fmt.Fprintf(&b, "\n[account.%s]\n", quoteKey(a.Name))
		for _, p := range a.pairs() {
			fmt.Fprintf(&b, "%s = %s\n", p.key, p.toml)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// pair is a key and its value as TOML.
type pair struct{ key, toml string }

// pairs returns what is in force for a, in the order of Keys.
func (a Account) pairs() []pair {
	var pairs []pair
	add := func(key, toml string) { pairs = append(pairs, pair{key, toml}) }
	text := func(key, s string) {
		if s != "" {
			add(key, quote(s))
		}
	}
	text("server", a.Server)
	text("tls", a.TLS)
	text("tls_ca", a.TLSCA)
	text("tls_server_name", a.TLSServerName)
	if len(a.TLSFingerprint) > 0 {
		add("tls_fingerprint", quoteList(a.TLSFingerprint))
	}
	text("tls_cert", a.TLSCert)
	text("tls_key", a.TLSKey)
	text("user", a.User)
	if a.Password.Password != "" {
		text("password", "***")
	}
	text("password_file", a.Password.File)
	text("password_command", a.Password.Command)
	text("password_credential", a.Password.Credential)
	if len(a.Auth) > 0 {
		add("auth", quoteList(a.Auth))
	} else {
		text("auth", "auto")
	}
	text("maildir", a.Maildir)
	if a.MDA != "" {
		text("mda", a.MDA)
		text("mda_timeout", timeText(a.MDATimeout, ""))
		add("max_deliveries", fmt.Sprint(a.MaxDeliveries))
	}
	text("delete", a.Delete.String())
	if a.MaxSize > 0 {
		add("max_size", fmt.Sprint(a.MaxSize))
	} else {
		text("max_size", "none")
	}
	text("initial", a.Initial.String())
	text("uidl", a.UIDL)
	text("new_uids", a.NewUIDs)
	add("quarantine_after", fmt.Sprint(a.QuarantineAfter))
	text("order", a.Order)
	text("pipelining", a.Pipelining)
	text("timeout", timeText(a.Timeout, ""))
	text("deadline", timeText(a.Deadline, "none"))
	text("interval", timeText(a.Interval, "manual"))
	add("enabled", fmt.Sprint(a.Enabled))
	return pairs
}

// String returns the value as it is written in the file.
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

// timeText returns d in the largest unit that keeps it whole; zero for no time.
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

// quoteKey returns a part of a key, in quotes where TOML needs them.
func quoteKey(part string) string {
	if dotted(part) == part {
		return part
	}
	return quote(part)
}

// quoteList returns a list of TOML strings.
func quoteList(list []string) string {
	var quoted []string
	for _, s := range list {
		quoted = append(quoted, quote(s))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
