package config

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These tests have accepted values, up to their limits. The files of testdata/bad have refused
// values.

func TestValue_server(t *testing.T) {
	tests := []struct{ text, host, port string }{
		{"pop.example.org", "pop.example.org", ""},
		{"POP.Example.ORG:1", "pop.example.org", "1"},
		{"localhost:65535", "localhost", "65535"},
		{"192.0.2.7:995", "192.0.2.7", "995"},
		{"[::1]", "::1", ""},
		{"[2001:DB8::0:7]:110", "2001:db8::7", "110"},
		{"[fe80::1%Eth0]:110", "fe80::1%Eth0", "110"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", ""},
		{"mail_1.example.org.", "mail_1.example.org.", ""},
	}
	for _, test := range tests {
		host, port, err := value{raw: test.text}.server()
		if err != nil || host != test.host || port != test.port {
			t.Errorf("server() of %s = %q, %q, %v, want %q, %q", test.text, host, port, err, test.host, test.port)
		}
	}
	for _, text := range []string{"h:65536", "h:-1", "h:+1", "h:", "[::1", "::1]", "[::1]995", "[1.2.3.4]", "[]", "a b", "a/b", "h:1:2", strings.Repeat("a", 254)} {
		if host, port, err := (value{raw: text}).server(); err == nil {
			t.Errorf("server() of %s = %q, %q, want an error", text, host, port)
		}
	}
}

func TestValue_duration(t *testing.T) {
	const day = 24 * time.Hour
	tests := map[string]time.Duration{
		"1s": time.Second, "60s": time.Minute, "5m": 5 * time.Minute, "36h": 36 * time.Hour,
		"30d": 30 * day, "2w": 14 * day, "007m": 7 * time.Minute, "100000d": 100000 * day,
	}
	for text, want := range tests {
		if got, err := (value{raw: text}).duration(); err != nil || got != want {
			t.Errorf("duration() of %s = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "s", "5", "0s", "5S", "5 s", "5ms", "5ss", "+5s", "1.5h", "5y", "9223372036854775808s", "106752d", "15251w"} {
		if got, err := (value{raw: text}).duration(); err == nil {
			t.Errorf("duration() of %q = %v, want an error", text, got)
		}
	}
}

func TestValue_octets(t *testing.T) {
	tests := map[any]int64{
		int64(1): 1, int64(math.MaxInt64): math.MaxInt64, "1": 1, "500K": 512000, "500KiB": 512000,
		"25M": 26214400, "25MiB": 26214400, "1G": 1 << 30, "2GiB": 2 << 30, "8589934591G": 8589934591 << 30,
	}
	for raw, want := range tests {
		if got, err := (value{raw: raw}).octets(); err != nil || got != want {
			t.Errorf("octets() of %v = %d, %v, want %d", raw, got, err, want)
		}
	}
	for _, raw := range []any{int64(0), "", "M", "0", "1k", "1MB", "1B", "1 M", "-1", "8589934592G", 1.5, true} {
		if got, err := (value{raw: raw}).octets(); err == nil {
			t.Errorf("octets() of %v = %d, want an error", raw, got)
		}
	}
}

func TestValue_path(t *testing.T) {
	folder := home(t)
	tests := map[string]string{
		"~": folder, "~/Mail": folder + "/Mail", "~/../x": filepath.Dir(folder) + "/x",
		"/a/../b/": "/b", "Mail": "/etc/popfetch/Mail", "./a": "/etc/popfetch/a", "../a": "/etc/a",
		"a~b": "/etc/popfetch/a~b", "./~a": "/etc/popfetch/~a",
	}
	for text, want := range tests {
		if got, err := (value{raw: text, folder: "/etc/popfetch"}).path(); err != nil || got != want {
			t.Errorf("path() of %s = %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestValue_fingerprints(t *testing.T) {
	want := strings.Repeat("0a", 32)
	for _, text := range []string{want, strings.ToUpper(want), "sha256:" + want, "SHA256:" + strings.Repeat("0A:", 31) + "0A"} {
		got, err := value{raw: []any{text, text}}.fingerprints()
		if err != nil || len(got) != 2 || got[0] != want || got[1] != want {
			t.Errorf("fingerprints() of %s = %v, %v, want %s twice", text, got, err, want)
		}
	}
	for _, text := range []string{want[1:], want + "0a", "sha1:" + want, strings.Repeat("0g", 32)} {
		if got, err := (value{raw: text}).fingerprints(); err == nil {
			t.Errorf("fingerprints() of %s = %v, want an error", text, got)
		}
	}
}

func TestValue_mechanisms(t *testing.T) {
	tests := []struct {
		raw  any
		want string
	}{
		{"auto", ""}, {[]any{"auto"}, ""}, {"apop", "apop"}, {[]any{"user", "plain"}, "user plain"},
	}
	for _, test := range tests {
		if got, err := (value{raw: test.raw}).mechanisms(); err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("mechanisms() of %v = %v, %v, want %s", test.raw, got, err, test.want)
		}
	}
}

// TestValue_control has every octet that must not be in a command (C0003).
func TestValue_control(t *testing.T) {
	for octet := range 256 {
		s := "a" + string(rune(octet)) + "b"
		_, err := value{raw: s}.printable()
		if want := octet < ' ' || octet == 0x7f; (err != nil) != want {
			t.Errorf("C0003: printable() of %q = %v, want an error: %v", s, err, want)
		}
	}
}
