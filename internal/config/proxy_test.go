package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestValue_proxy(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, test := range []struct {
		raw     any
		want    Proxy
		mistake string // a part of it
	}{
		{"socks5://127.0.0.1:1080", Proxy{"socks5", "127.0.0.1:1080", "", ""}, ""},
		{"HTTP://Proxy.Example.net:3128/", Proxy{"http", "proxy.example.net:3128", "", ""}, ""},
		{"http://[2001:db8:0::7]:3128", Proxy{"http", "[2001:db8::7]:3128", "", ""}, ""},
		{"socks5://alice:hunter2@p:1", Proxy{"socks5", "p:1", "alice", "hunter2"}, ""},
		{"http://a%40b:h%75nter2%25@p:1", Proxy{"http", "p:1", "a@b", "hunter2%"}, ""},
		{"socks5://a:hunter2@#/:+@p:1", Proxy{"socks5", "p:1", "a", "hunter2@#/:+"}, ""},
		{"socks5://a%3ab:hunter2@p:1", Proxy{"socks5", "p:1", "a:b", "hunter2"}, ""},
		{"http://a:" + long + "@p:1", Proxy{"http", "p:1", "a", long}, ""},

		{int64(12), Proxy{}, `is a number; write text in "quotes"`},
		{"", Proxy{}, "is empty; "},
		{"alice:hunter2@p:1080", Proxy{}, `does not say which kind of proxy it is; write "socks5://HOST:PORT" or "http://HOST:PORT"`},
		{"p:1080", Proxy{}, "does not say which kind"},
		{"socks5h://alice:hunter2@p:1080", Proxy{}, "with socks5 the proxy looks up names anyway; write socks5://"},
		{"http://bücher.example:3128", Proxy{Scheme: "http", Addr: "xn--bcher-kva.example:3128"}, ""},
		{"socks4://p:1080", Proxy{}, "version 5 of SOCKS alone; "},
		{"socks4a://p:1080", Proxy{}, "version 5 of SOCKS alone; "},
		{"socks://p:1080", Proxy{}, "version 5 of SOCKS alone; "},
		{"https://alice:hunter2@p:3128", Proxy{}, "without TLS, and through it with TLS to the server; write http://"},
		{"ftp://p:3128", Proxy{}, "no kind of proxy that popfetch knows; write "},
		{"hunter2://p:3128", Proxy{}, "no kind of proxy that popfetch knows; write "},
		{"socks5://p", Proxy{}, "lacks the port of the proxy; "},
		{"socks5://alice:hunter2@p", Proxy{}, "lacks the port of the proxy; "},
		{"http://alice:hunter2", Proxy{}, "host or port of the proxy is written wrongly; "},
		{"http://:3128", Proxy{}, "host or port of the proxy is written wrongly; "},
		{"http://p:0", Proxy{}, "host or port of the proxy is written wrongly; "},
		{"http://p:3128/path", Proxy{}, "host or port of the proxy is written wrongly; "},
		{"http://::1:3128", Proxy{}, "host or port of the proxy is written wrongly; "},
		{"http://alice:hunter2@hü_nter:3128", Proxy{}, "host or port of the proxy is written wrongly; "},
		{"http://alice@p:3128", Proxy{}, `lacks user or password before the "@"; `},
		{"http://alice:@p:3128", Proxy{}, `lacks user or password before the "@"; `},
		{"http://:hunter2@p:3128", Proxy{}, `lacks user or password before the "@"; `},
		{"http://@p:3128", Proxy{}, `lacks user or password before the "@"; `},
		{"http://alice:100%hunter2@p:3128", Proxy{}, "begins no escape; write it as %25"},
		{"http://al%ice:hunter2@p:3128", Proxy{}, "begins no escape; write it as %25"},
		{"http://alice:hunter2%0d%0aX@p:3128", Proxy{}, "holds a control character; "},
		{"http://al%3aice:hunter2@p:3128", Proxy{}, `the user holds a ":"`},
		{"socks5://alice:hunter2" + long + "@p:3128", Proxy{}, "more octets than SOCKS can send; "},
		{"socks5://" + long + ":hunter2@p:3128", Proxy{}, "more octets than SOCKS can send; "},
	} {
		got, err := value{raw: test.raw}.proxy()
		if got != test.want && err == nil || (err == nil) != (test.mistake == "") || err != nil && !strings.Contains(err.Error(), test.mistake) {
			t.Errorf("proxy() of %q = %#v, %v, want %#v, %s", test.raw, got, err, test.want, test.mistake)
		}
		if err != nil && strings.Contains(err.Error(), "hunter") {
			t.Errorf("proxy() of %q tells the password: %v", test.raw, err)
		}
	}
}

// No verb of package fmt shows the password.
func TestProxy_String(t *testing.T) {
	a := Account{Proxy: Proxy{"http", "p:3128", "al ice", "hunter2"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, value := range []any{a.Proxy, a, &a} {
			got := fmt.Sprintf(verb, value)
			if strings.Contains(got, "hunter2") || !strings.Contains(got, "http://al%20ice:***@p:3128") {
				t.Errorf("%s: %s", verb, got)
			}
		}
	}
	if got := (Proxy{}).String(); got != "" {
		t.Errorf("String() of no proxy = %q", got)
	}
}

// A proxy and a command exclude each other. An account's own one replaces that of the defaults.
func TestLoad_proxy(t *testing.T) {
	home(t)
	const server = "[account.work]\nserver = 'localhost'\nuser = 'u'\nmaildir = '/m'\n"
	for _, test := range []struct {
		text, want string
		command    bool
	}{
		{server + "connect_command = 'nc'\nproxy = 'http://p:1'", ":6: account.work.proxy: cannot be set together with connect_command; keep one of them", false},
		{"defaults.proxy = 'http://p:1'\n" + server + "connect_command = 'nc'", "", true},
		{"defaults.connect_command = 'nc'\n" + server + "proxy = 'http://p:1'", "", false},
		{server + "tls = 'none'\noauth.token_command = 'x'\nproxy = 'http://p:1'", ":6: account.work.oauth: an access token is not sent without TLS", false},
		{"[defaults]\nhttp_proxy = 'http://p:1'\n" + server, `:2: defaults.http_proxy: is not a known key; write proxy = "socks5://HOST:PORT" or "http://HOST:PORT"`, false},
	} {
		cfg, err := Load(writeConfig(t, test.text))
		if test.want != "" {
			if !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("Load() = %v, want %s", err, test.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("Load() = %v", err)
			continue
		}
		if a := cfg.Accounts[0]; a.Proxy.IsZero() != test.command || (a.ConnectCommand != "") != test.command {
			t.Errorf("Load() = proxy %v and command %q", a.Proxy, a.ConnectCommand)
		}
	}
}
