package doctor_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

func TestCertificates(t *testing.T) {
	ca := poptest.NewCA(t)
	now := time.Now()
	long, soon, expired, early, own := ca.Server(poptest.LongLived).TLS.Leaf, ca.Server(poptest.EndsSoon).TLS.Leaf,
		ca.Server(poptest.Expired).TLS.Leaf, ca.Server(poptest.NotYetValid).TLS.Leaf, ca.Server(poptest.SelfSigned).TLS.Leaf
	whole := func(c *x509.Certificate) []string { return []string{doctor.Describe(c).SHA256} }
	key := func(c *x509.Certificate) []string { return []string{doctor.Describe(c).KeySHA256} }
	for _, test := range []struct {
		name  string
		chain []*x509.Certificate
		pins  []string
		state doctor.State
		words string
		mend  string
		paste bool
	}{
		{"good", []*x509.Certificate{long}, nil, doctor.OK, "90 days; issued by poptest authority", "", true},
		{"ends soon", []*x509.Certificate{soon}, nil, doctor.Warning, ", 10 days", "it must be renewed by then", true},
		{"its authority ends soon", []*x509.Certificate{long, soon, long}, nil, doctor.Warning, "vouched for by localhost; that of localhost ends in 10 days", "newer certificate of that authority", true},
		{"the root ends soon", []*x509.Certificate{long, soon}, nil, doctor.Warning, ", 90 days; issued by poptest authority; that of localhost ends in 10 days", "newer certificate in tls_ca", true},
		{"pinned", []*x509.Certificate{long}, key(long), doctor.OK, "tls_fingerprint names it", "", false},
		{"pinned, and ends soon", []*x509.Certificate{soon}, key(soon), doctor.Warning, "tls_fingerprint names it", "new key", false},
		{"pinned as a whole", []*x509.Certificate{soon}, whole(soon), doctor.Warning, "tls_fingerprint names it", "needs another tls_fingerprint", true},
		{"pinned, and expired", []*x509.Certificate{expired}, key(expired), doctor.Warning, "ended on ", "new key", false},
		{"pinned, and too early", []*x509.Certificate{early}, key(early), doctor.Warning, "not yet", "clock", false},
		{"by itself", []*x509.Certificate{own}, nil, doctor.Warning, "issued by itself", "renewed", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := &tls.ConnectionState{PeerCertificates: test.chain[:1]}
			if test.pins == nil {
				state.VerifiedChains = [][]*x509.Certificate{test.chain}
			}
			f := doctor.Certificates(state, test.pins, now)
			is(t, f, test.state, test.words)
			if !strings.Contains(f.Mend, test.mend) || (f.Paste != "") != test.paste {
				t.Errorf("finding %+v, want the mend %q, and a line to paste: %v", f, test.mend, test.paste)
			}
		})
	}
}

// A server is accepted as long as one chain is valid, so the chain counts that lasts.
func TestCertificates_chains(t *testing.T) {
	ca := poptest.NewCA(t)
	long, soon := ca.Server(poptest.LongLived).TLS.Leaf, ca.Server(poptest.EndsSoon).TLS.Leaf
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{long}}
	for _, second := range []int{0, 1} {
		chains := [][]*x509.Certificate{{long, long}, {long, long}}
		chains[second][1] = soon
		state.VerifiedChains = chains
		is(t, doctor.Certificates(state, nil, time.Now()), doctor.OK, ", 90 days")
	}
}

// A day more than three weeks is no reason to warn, a day less is one.
func TestCertificates_soon(t *testing.T) {
	leaf := poptest.NewCA(t).Server(poptest.LongLived).TLS.Leaf
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	is(t, doctor.Certificates(state, nil, leaf.NotAfter.AddDate(0, 0, -22)), doctor.OK, ", 22 days")
	is(t, doctor.Certificates(state, nil, leaf.NotAfter.AddDate(0, 0, -20)), doctor.Warning, ", 20 days")
}

func TestRefused(t *testing.T) {
	leaf := *poptest.NewCA(t).Server(poptest.WrongName).TLS.Leaf
	leaf.DNSNames = []string{"\x1b[2J", "b", "c", "d", "e"}
	refused := &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{&leaf}, Err: errors.New("no \x1b")}
	f := doctor.Refused(refused, "mend", time.Now())
	is(t, f, doctor.Fault, `for \x1b[2J, b, c, and 2 more, valid until `)
	is(t, f, doctor.Fault, `; issued by poptest authority; not accepted: no \x1b`)
	if want := `tls_fingerprint = "` + doctor.Describe(&leaf).KeySHA256 + `"`; f.Paste != want {
		t.Errorf("Paste = %q, want %q", f.Paste, want)
	}
}

func TestTLS(t *testing.T) {
	none := new(doctor.Session)
	is(t, doctor.TLS(none, "127.0.0.1:110", ""), doctor.OK, "on this machine")
	is(t, doctor.TLS(none, "127.0.0.1:110", "connect_command"), doctor.Warning, "in clear")
	is(t, doctor.TLS(none, "pop.example.org:110", ""), doctor.Warning, "in clear")
	offers := &doctor.Session{AtLogin: pop3.Capabilities{"STLS": nil}}
	if f := doctor.TLS(offers, "pop.example.org:110", ""); !strings.Contains(f.Mend, `tls = "starttls"`) {
		t.Errorf("mend = %q, want STLS", f.Mend)
	}
	with := func(version, suite uint16) *doctor.Session {
		return &doctor.Session{TLS: &tls.ConnectionState{Version: version, CipherSuite: suite}}
	}
	is(t, doctor.TLS(with(tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256), "", ""), doctor.OK, "TLS 1.3, TLS_AES_128_GCM_SHA256")
	is(t, doctor.TLS(with(tls.VersionTLS11, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA), "", ""), doctor.Warning, "TLS 1.1")
	is(t, doctor.TLS(with(tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_CBC_SHA), "", ""), doctor.Warning, "not safe any more")
}

func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	file := filepath.Join(dir, "file")
	if err := errors.Join(os.Symlink(filepath.Join(dir, "nothing"), link), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		folder doctor.StateFolder
		state  doctor.State
		words  string
		create bool
		err    error
	}{
		{doctor.StateFolder{Dir: dir, Table: "seen.db"}, doctor.OK, dir + "; ", false, nil},
		{doctor.StateFolder{Dir: filepath.Join(dir, "a", "b")}, doctor.OK, "yet to be made", false, nil},
		{doctor.StateFolder{Dir: dir, Needed: 1 << 62}, doctor.Fault, "are free, and a run needs 4.0 EiB", false, syscall.ENOSPC},
		{doctor.StateFolder{Dir: file}, doctor.Fault, "file: ", false, syscall.EACCES},
		{doctor.StateFolder{Dir: link}, doctor.Fault, "following the link " + link, true, syscall.ENOENT},
		{doctor.StateFolder{Dir: filepath.Join(link, "a")}, doctor.Fault, "following the link " + link, true, syscall.ENOENT},
	} {
		f, create, err := test.folder.Examine()
		is(t, f, test.state, test.words)
		if create != test.create || !errors.Is(err, test.err) || (f.Mend == "") != (err == nil) {
			t.Errorf("Examine() of %+v = %+v, %v, %v, want %v, %v", test.folder, f, create, err, test.create, test.err)
		}
	}
	is(t, doctor.Maildir(dir, 1000, 1000), doctor.OK, "1000 octets free for mail")
	is(t, doctor.Maildir(dir, 999, 1000), doctor.Warning, "new mail needs 1000 octets; 999 octets are free for it")
	is(t, doctor.Maildir(dir, 0, 1000), doctor.Fault, "new mail needs 1000 octets; 0 octets are free for it")
	is(t, doctor.Maildir(dir, 0, 0), doctor.Warning, "there is no room for mail")
	is(t, doctor.Maildir(filepath.Join(dir, "m"), 10, 0), doctor.OK, "yet to be made")
}
