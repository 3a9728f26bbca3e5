package kerberos

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// Without krb5.conf, DNS is asked for KDCs, as MIT Kerberos does. The first of several files counts,
// and each may name further KDCs and include others.
func TestPlaces_settings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	none := filepath.Join(dir, "none")
	first := file("first", "# of the house\n[libdefaults]\ndns_lookup_kdc = no\ndefault_ccache_name = /first\n")
	if err := os.Mkdir(filepath.Join(dir, "conf.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	file("conf.d/one", "[realms]\nOTHER = {\nkdc = other.example\n}\n")
	file("conf.d/two.conf", "[realms]\n THIRD = {\nkdc = third.example\n}")
	file("conf.d/.hidden.conf", "[libdefaults]\nnoaddresses = perhaps\n")
	file("conf.d/old~", "[libdefaults]\nnoaddresses = perhaps\n")
	loop := file("loop", "include "+filepath.Join(dir, "loop")+"\n")
	second := file("second", "includedir "+dir+"/conf.d\nincludedir "+dir+"/none\n[libdefaults]\ndns_lookup_kdc = yes\ndefault_ccache_name = /second\n[realms]\n"+poptest.Realm+" = {\nkdc = kdc.example\nkdc = [::1]:750\n}\n")
	for _, test := range []struct {
		config string
		dns    bool
		cache  string
		kdcs   int
	}{
		{none, true, "", 0},
		{os.DevNull, true, "", 0},
		{first, false, "/first", 0},
		{none + ":" + first + ":" + second, false, "/first", 4},
		{second, true, "/second", 4},
	} {
		s, err := Places{Config: test.config}.settings()
		if err != nil {
			t.Errorf("settings() of %s: %v", test.config, err)
			continue
		}
		kdcs, cache := 0, s.profile.value("default_ccache_name")
		for _, realm := range []string{poptest.Realm, "OTHER", "THIRD"} {
			kdcs += len(s.profile.values("realms", realm, "kdc"))
		}
		if s.dns != test.dns || cache != test.cache || kdcs != test.kdcs {
			t.Errorf("settings() of %s: DNS %v, cache %q, %d KDCs; want %v, %q, %d", test.config,
				s.dns, cache, kdcs, test.dns, test.cache, test.kdcs)
		}
	}
	for _, config := range []string{loop, file("lacks", "include "+dir+"/lacks-this\n")} {
		if _, err := (Places{Config: config}).settings(); err == nil {
			t.Errorf("settings() of %s: no error", config)
		}
	}
}

// What MIT Kerberos understands does not stop popfetch.
func TestPlaces_syntax(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "krb5.conf")
	const text = "\ufeff# of the house\nmodule /usr/lib/x.so:y\nstray = 1\n[libdefaults]*\n; a comment\n" +
		"v4_name_convert = {\n host = {\n  rcmd = host\n }\n clockskew = 1\n}\n" +
		"X = {\n dns_lookup_kdc = no\n}\nnonsense\nforwardable = perhaps\n" +
		"canonicalize = ON\nnoaddresses = nil\ndns_lookup_kdc = t\nclockskew* = 60\ncanonicalize = off\n" +
		"default_ccache_name = \"FILE:/a \\\"b\\\"\"\n" +
		"[realms]\n" + poptest.Realm + " =\n{\n auth_to_local_names = {\n  kdc = wrong.example\n }\n kdc* = one.example\n}*\n}\n" +
		"[domain_realm]\nexample.com = OF.COM\n.sub.example.com = OF.SUB\nhost.example.com = OF.HOST\n" +
		"[realms]\n" + poptest.Realm + " = {\n kdc = two.example # text\n}\n[capaths]\nA = {\n B = .\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Places{Config: path}.settings()
	if err != nil {
		t.Fatal(err)
	}
	l := s.conf.LibDefaults
	if !l.Canonicalize || l.NoAddresses || !s.dns || l.Clockskew != time.Minute {
		t.Errorf("canonicalize %v, noaddresses %v, dns_lookup_kdc %v, clockskew %v; want true, false, true, 1m",
			l.Canonicalize, l.NoAddresses, s.dns, l.Clockskew)
	}
	if got := s.profile.values("realms", poptest.Realm, "kdc"); !slices.Equal(got, []string{"one.example", "two.example # text"}) {
		t.Errorf("the KDCs are %q", got)
	}
	if got, err := (Places{}).path(s); got != `/a "b"` || err != nil {
		t.Errorf("the cache is %q, %v", got, err)
	}
	for host, want := range map[string]string{"example.com": "OF.COM", "pop.example.com": "OF.COM", "host.example.com": "OF.HOST",
		"a.host.example.com": "OF.HOST", "a.sub.example.com": "OF.SUB", "sub.example.com": "OF.COM", "anexample.com": "", "com": "", "localhost": ""} {
		if got := s.realm(host); got != want {
			t.Errorf("realm(%s) = %q, want %q", host, got, want)
		}
	}
}

// A cache is a file in each of these forms.
func TestPlaces_path(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"/a": "/a", "FILE:/a": "/a", "FILE:a": "a", "krb5cc": "krb5cc", "DIR::/a/tkt": "/a/tkt", "/a:b": "/a:b",
		"": "/tmp/krb5cc_" + strconv.Itoa(os.Getuid())} {
		if got, err := (Places{Cache: name}).path(&settings{}); got != want || err != nil {
			t.Errorf("path() of %q = %q, %v, want %q", name, got, err, want)
		}
	}
}
