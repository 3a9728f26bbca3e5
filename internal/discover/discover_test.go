package discover_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/discover"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// world is a network in which servers are at the addresses that tests choose.
type world struct {
	*poptest.Server
	mu     sync.Mutex
	at     map[string]string // host:port of the world to that of the model server; "": it never answers
	dialed []string
}

// newWorld makes a world with a server whose certificate is valid for example.org and its hosts.
// Each word of places is "host:port".
func newWorld(t *testing.T, places ...string) *world {
	w := &world{Server: poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"}), at: map[string]string{}}
	w.Configure(func(c *poptest.Config) { c.TLS = w.CA().ServerTLS(poptest.ExampleOrg) })
	for _, place := range places {
		w.at[place] = w.TLSAddr()
		if strings.HasSuffix(place, ":110") {
			w.at[place] = w.Addr()
		}
	}
	return w
}

// finder returns a finder in this world.
func (w *world) finder(dns *poptest.DNS) *discover.Finder {
	options := pop3.Options{TLSConfig: w.CA().ClientTLS(""), Dial: func(ctx context.Context, addr string) (net.Conn, error) {
		w.mu.Lock()
		w.dialed = append(w.dialed, addr)
		at, found := w.at[addr]
		w.mu.Unlock()
		switch {
		case !found:
			return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
		case at == "":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, "tcp", at)
	}}
	return &discover.Finder{Resolver: dns.Resolver(), Options: options}
}

// shown returns what was found, in short.
func shown(f *discover.Found) string {
	text := []string{"table", "dns", "guess"}[f.Source]
	for _, s := range f.Servers {
		text += " " + s.Addr()
		if s.STARTTLS {
			text += "/stls"
		}
	}
	return text
}

func TestFinder_Find(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		records map[string][]string
		places  []string
		want    string
	}{
		"by DNS":                 {map[string][]string{"_pop3s._tcp.example.org": {"a.example.org:4995"}}, []string{"a.example.org:4995", "pop.example.org:995"}, "dns a.example.org:4995"},
		"TLS at once first":      {map[string][]string{"_pop3._tcp.example.org": {"a.example.org:110"}, "_pop3s._tcp.example.org": {"b.example.org:995"}}, []string{"a.example.org:110", "b.example.org:995"}, "dns b.example.org:995"},
		"STLS alone":             {map[string][]string{"_pop3._tcp.example.org": {"a.example.org:110"}, "_pop3s._tcp.example.org": {".:0"}}, []string{"a.example.org:110"}, "dns a.example.org:110/stls"},
		"by priority":            {map[string][]string{"_pop3s._tcp.example.org": {"z.example.org:995", "a.example.org:995"}}, []string{"z.example.org:995", "a.example.org:995"}, "dns z.example.org:995"},
		"the first is down":      {map[string][]string{"_pop3s._tcp.example.org": {"z.example.org:995", "a.example.org:995"}}, []string{"a.example.org:995"}, "dns a.example.org:995"},
		"not the service":        {map[string][]string{"_pop3s._tcp.example.org": {".:0"}}, []string{"pop.example.org:995"}, "table"},
		"by guess":               {nil, []string{"mail.example.org:995", "example.org:995", "pop.example.org:110"}, "guess mail.example.org:995"},
		"by guess, STLS":         {nil, []string{"pop3.example.org:110", "mail.example.org:110"}, "guess pop3.example.org:110/stls"},
		"DNS names what is down": {map[string][]string{"_pop3s._tcp.example.org": {"a.example.org:995"}}, []string{"pop.example.org:995"}, "guess pop.example.org:995"},
		"nothing":                {nil, nil, "table"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.places...)
			found, err := w.finder(poptest.NewDNS(t, test.records)).Find(t.Context(), "example.org")
			if err != nil {
				t.Fatalf("Find() = %v", err)
			}
			first := *found
			first.Servers = first.Servers[:min(1, len(first.Servers))] // others may have answered as soon
			if got := shown(&first); got != test.want {
				t.Errorf("Find() = %s, want %s; failed: %v", got, test.want, found.Failed)
			}
			if found.None != (name == "not the service") {
				t.Errorf("None = %v", found.None)
			}
			w.Wait()
			for _, command := range []string{"USER", "PASS", "AUTH", "APOP"} {
				if w.Count(command) > 0 {
					t.Errorf("the server got %s", command)
				}
			}
		})
	}
}

// The table comes before DNS, and DNS is asked if the server in the table does not answer.
func TestFinder_Find_table(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "pop.example.org:995")
	w.Configure(func(c *poptest.Config) { c.TLS = w.CA().ServerTLS("") })
	dns := poptest.NewDNS(t, map[string][]string{"_pop3s._tcp.gmx.de": {"localhost:995"}})
	found, err := w.finder(dns).Find(t.Context(), "icloud.com")
	if err != nil || found.Provider == nil || len(found.Servers) > 0 || dns.Asked() > 0 || w.dialed != nil {
		t.Errorf("Find() of a provider without POP3 = %+v, %v, and %d questions, %q", found, err, dns.Asked(), w.dialed)
	}
	found, err = w.finder(dns).Find(t.Context(), "gmx.de")
	if err != nil || found.Provider == nil || dns.Asked() == 0 || w.dialed[0] != "pop.gmx.net:995" {
		t.Errorf("Find() = %+v, %v, having tried %q", found, err, w.dialed)
	}
	if len(found.Failed) == 0 || !found.Failed[0].Matters() || found.Failed[0].Source != discover.ByTable {
		t.Errorf("Failed = %+v, want that of the table first", found.Failed)
	}
}

// A server that never answers is not waited for if a better one has, and not for ever otherwise.
func TestFinder_Find_silent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "pop.example.org:995")
	w.at["mail.example.org:995"] = ""
	began := time.Now()
	found, err := w.finder(poptest.NewDNS(t, nil)).Find(t.Context(), "example.org")
	if took := time.Since(began); err != nil || shown(found) != "guess pop.example.org:995" || took > 5*time.Second {
		t.Errorf("Find() = %s, %v after %v", shown(found), err, took)
	}
	w.at["pop.example.org:995"], w.at["mail.example.org:110"] = "", w.Addr()
	found, err = w.finder(poptest.NewDNS(t, nil)).Find(t.Context(), "example.org")
	if took := time.Since(began); err != nil || shown(found) != "guess mail.example.org:110/stls" || took > 20*time.Second {
		t.Errorf("Find() = %s, %v after %v", shown(found), err, took)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	time.AfterFunc(100*time.Millisecond, func() { cancel(why) })
	w.at["mail.example.org:110"] = ""
	if found, err := w.finder(poptest.NewDNS(t, nil)).Find(ctx, "example.org"); !errors.Is(err, why) {
		t.Errorf("Find() = %+v, %v, want %v", found, err, why)
	}
}

// A certificate that is not valid for the name, or none at all, rules a server out.
func TestFinder_Probe(t *testing.T) {
	t.Parallel()
	servers := []discover.Server{{Host: "pop.example.org", Port: "995"}, {Host: "pop.example.org", Port: "110", STARTTLS: true}}
	for _, test := range []struct {
		name      string
		configure func(*poptest.Server, *poptest.Config)
		want      string
	}{
		{"wrong name", func(s *poptest.Server, c *poptest.Config) { c.TLS = s.CA().ServerTLS(poptest.WrongName) }, "its certificate is refused"},
		{"expired", func(s *poptest.Server, c *poptest.Config) { c.TLS = s.CA().ServerTLS(poptest.Expired) }, "its certificate is refused"},
		{"self-signed", func(s *poptest.Server, c *poptest.Config) { c.TLS = s.CA().ServerTLS(poptest.SelfSigned) }, "its certificate is refused"},
		{"no TLS", func(_ *poptest.Server, c *poptest.Config) { c.TLS, c.Capabilities = nil, []string{"UIDL"} }, "it offers no encryption"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "pop.example.org:995", "pop.example.org:110")
			w.Configure(func(c *poptest.Config) { test.configure(w.Server, c) })
			tried := servers
			if test.name == "no TLS" { // the model server cannot be without TLS at the other port
				tried = servers[1:]
			}
			good, failed := w.finder(poptest.NewDNS(t, nil)).Probe(t.Context(), tried)
			if len(good) > 0 || len(failed) != len(tried) {
				t.Fatalf("Probe() = %v, %v", good, failed)
			}
			if reason := discover.Reason(failed[len(tried)-1].Err); !strings.HasPrefix(reason, test.want) {
				t.Errorf("Reason() = %q, want %q", reason, test.want)
			}
		})
	}
}

func TestIsOutside(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{"example.org": false, "pop.example.org": false, "a.b.example.org": false,
		"notexample.org": true, "example.org.evil.example": true, "pop.example.com": true} {
		if got := discover.IsOutside(discover.Server{Host: host}, "example.org"); got != want {
			t.Errorf("IsOutside(%s) = %v", host, got)
		}
	}
}

// Each domain is in the table once, and as it is looked up.
func TestProviders(t *testing.T) {
	t.Parallel()
	owners := map[string]string{}
	for _, p := range discover.Providers() {
		if p.Name == "" || len(p.Domains()) == 0 || p.Host == "" && len(p.Needs) == 0 {
			t.Errorf("%+v lacks something", p)
		}
		for _, domain := range p.Domains() {
			if owner := owners[domain]; owner != "" {
				t.Errorf("%s is in the table twice: %s and %s", domain, owner, p.Name)
			}
			owners[domain] = p.Name
			if domain != strings.ToLower(domain) || strings.ContainsAny(domain, "{},") || !strings.Contains(domain, ".") {
				t.Errorf("%s is no domain", domain)
			}
			if found := discover.ProviderOf(domain); found == nil || found.Name != p.Name {
				t.Errorf("ProviderOf(%s) = %v", domain, found)
			}
		}
		for _, need := range p.Needs {
			if !strings.HasSuffix(need, ".") {
				t.Errorf("%s: %q is no sentence", p.Name, need)
			}
		}
		if p.Secret == discover.OAuth && !slices.Contains([]string{"microsoft", "google", "yahoo"}, p.OAuth) {
			t.Errorf("%s signs in by %q", p.Name, p.OAuth)
		}
	}
	for address, want := range map[string]string{"a.b@web.de": "a.b", "a@gmail.com": "a@gmail.com", "x@y@free.fr": "x@y"} {
		_, domain, _ := strings.Cut(address[strings.LastIndex(address, "@"):], "@")
		if got := discover.ProviderOf(domain).User(address); got != want {
			t.Errorf("User(%s) = %s, want %s", address, got, want)
		}
	}
	var none *discover.Provider
	if discover.ProviderOf("example.org") != nil || none.User("a@b") != "a@b" {
		t.Error("example.org has a provider")
	}
}

func ExampleProviderOf() {
	p := discover.ProviderOf("gmail.com")
	fmt.Println(p.Name, p.Host)
	// Output: Gmail pop.gmail.com
}

// page is the documentation of the table.
const page = "../../docs/providers.md"

// The table in docs/providers.md is that of the code.
func TestProviders_page(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	table.WriteString("| Provider | Addresses | Server | Wants first | Page |\n|---|---|---|---|---|\n")
	for _, p := range discover.Providers() {
		domains, server, url := p.Domains(), "–", "–"
		more := ""
		if len(domains) > 3 {
			more, domains = fmt.Sprintf(" and %d more", len(domains)-3), domains[:3]
		}
		if p.Host != "" {
			server = "`" + p.Host + "`"
		}
		needs := strings.Join(p.Needs, " ")
		if p.Local {
			needs = strings.TrimSpace("The user is the part before the @. " + needs)
		}
		if p.URL != "" {
			url = "<" + p.URL + ">"
		}
		fmt.Fprintf(&table, "| %s | %s%s | %s | %s | %s |\n", p.Name, strings.Join(domains, ", "), more, server, needs, url)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\n\n"+table.String()+"\n") {
		t.Errorf("%s lacks this table:\n%s", page, table.String())
	}
}
