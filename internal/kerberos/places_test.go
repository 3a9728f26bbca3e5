package kerberos

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/popfetch/popfetch/internal/poptest"
)

// Without krb5.conf, DNS is asked for KDCs, as MIT Kerberos does. The first of several files counts
// for the cache, and each may name KDCs and include others.
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
	second := file("second", "includedir "+dir+"/conf.d\nincludedir "+dir+"/none\n[libdefaults]\ndefault_ccache_name = /second\n[realms]\n"+poptest.Realm+" = {\nkdc = kdc.example\nkdc = [::1]:750\n}\n")
	for _, test := range []struct {
		config string
		dns    bool
		cache  string
		kdcs   int
	}{
		{none, true, "", 0},
		{first, false, "/first", 0},
		{none + ":" + first + ":" + second, false, "/first", 4},
		{second, true, "/second", 4},
	} {
		s, err := Places{Config: test.config}.settings()
		if err != nil {
			t.Errorf("settings() of %s: %v", test.config, err)
			continue
		}
		kdcs := 0
		for _, r := range s.conf.Realms {
			kdcs += len(r.KDC)
		}
		if s.conf.LibDefaults.DNSLookupKDC != test.dns || s.cache != test.cache || kdcs != test.kdcs {
			t.Errorf("settings() of %s: DNS %v, cache %q, %d KDCs; want %v, %q, %d", test.config,
				s.conf.LibDefaults.DNSLookupKDC, s.cache, kdcs, test.dns, test.cache, test.kdcs)
		}
	}
	for _, config := range []string{loop, file("lacks", "include "+dir+"/lacks-this\n")} {
		if _, err := (Places{Config: config}).settings(); err == nil {
			t.Errorf("settings() of %s: no error", config)
		}
	}
}
