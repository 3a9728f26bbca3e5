package login

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

func TestCredentials_Changed(t *testing.T) {
	const wrong = "correct horse"
	password := wrong
	asked := 0
	ask := func(context.Context) (string, error) { asked++; return password, nil }
	credentials := &Credentials{User: "mrose", Password: ask}
	mark := credentials.newMark(wrong, "")
	if len(mark) != markSalt+markOctets || bytes.Equal(mark, credentials.newMark(wrong, "")) {
		t.Errorf("newMark() = %x, want %d octets that differ each time", mark, markSalt+markOctets)
	}
	changed := func(cr *Credentials, mark []byte) bool {
		t.Helper()
		changed, err := cr.Changed(t.Context(), mark)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	if changed(credentials, mark) || asked != 1 {
		t.Errorf("the password counts as changed, or was asked for %d times", asked)
	}
	if !changed(&Credentials{User: "mrose", Password: ask, Mechanisms: []Mechanism{User}}, mark) {
		t.Error("with another mechanism they count as unchanged")
	}
	if !changed(&Credentials{User: "mrose", Password: ask, Charset: Latin1}, mark) {
		t.Error("in another charset they count as unchanged")
	}
	other := 0
	for _, password = range []string{"correct horse ", "Correct horse", "", "correct", "tanstaaf"} {
		if changed(credentials, mark) {
			other++
		}
	}
	if other < 4 {
		t.Errorf("%d of 5 other passwords count as changed", other)
	}
	for _, mark := range [][]byte{nil, {}, mark[:markSalt]} { // nobody can tell
		asked = 0
		if changed(credentials, mark) || asked > 0 {
			t.Errorf("by the mark %x they count as changed, or the password was asked for", mark)
		}
	}
	if mark := credentials.newMark("", ""); mark != nil {
		t.Errorf("newMark() = %x where no password was asked for, want none", mark)
	}
	credentials.Password = func(context.Context) (string, error) { return "", errors.New("locked") }
	_, err := credentials.Changed(t.Context(), mark)
	var login *Error
	if !errors.As(err, &login) || login.Fault != Cannot {
		t.Errorf("Changed() = %v, want a *Error of fault Cannot", err)
	}
}

// A mark stands for the sign-in, and not for an access token, which changes by itself.
func TestCredentials_SignInID(t *testing.T) {
	signIn := "on Monday"
	credentials := &Credentials{User: "mrose", Bearer: true, SignInID: func() string { return signIn }, last: "token 1"}
	credentials.Password = func(context.Context) (string, error) {
		t.Error("a token was asked for")
		return "", nil
	}
	changed := func(mark []byte) bool {
		t.Helper()
		changed, err := credentials.Changed(t.Context(), mark)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	refused, worked := credentials.newMark("token 1", ""), credentials.Mark(nil)
	credentials.last = "token 2"
	if len(refused) == 0 || changed(refused) || !bytes.Equal(credentials.Mark(worked), worked) {
		t.Error("with another token of the same sign-in, they count as changed")
	}
	signIn = "on Tuesday"
	if !changed(refused) || bytes.Equal(credentials.Mark(worked), worked) {
		t.Error("with a new sign-in, they count as unchanged")
	}
	if mark := credentials.newMark("", ""); mark != nil {
		t.Errorf("newMark() = %x where no token was asked for, want none", mark)
	}
	credentials.SignInID = nil
	if mark := credentials.newMark("token 3", ""); mark != nil || credentials.Mark(worked) != nil {
		t.Errorf("newMark() = %x where nobody knows the sign-in, want none", mark)
	}
}

// Without a password, a mark stands for the ticket. A renewed ticket is no new one. An account that
// also has a password is asked for it only with a new ticket.
func TestCredentials_ticket(t *testing.T) {
	service := poptest.NewService(t, 18)
	cache := filepath.Join(t.TempDir(), "cache")
	now := time.Now()
	kinit := func(at time.Time, lasts time.Duration) {
		service.WriteCache(t, cache, poptest.Cached{Server: "krbtgt/" + poptest.Realm, Begin: at, End: at.Add(lasts)})
	}
	for mechanism, wantAsked := range map[Mechanism]int{GSSAPI: 0, Plain: 1} {
		asked := 0
		cr := &Credentials{User: "mrose", Mechanisms: []Mechanism{GSSAPI, mechanism}, Addr: "localhost:110",
			Kerberos: kerberos.Places{Cache: cache, Config: "/nonexistent"},
			Password: func(context.Context) (string, error) { asked++; return "tanstaaf", nil }}
		changed := func(mark []byte) bool {
			changed, err := cr.Changed(t.Context(), mark)
			if err != nil {
				t.Error(err)
			}
			return changed
		}
		kinit(now, time.Hour)
		cr.lastTicket = cr.ticketID()
		refused, worked := cr.newMark("", cr.lastTicket), cr.Mark(nil)
		kinit(now, 2*time.Hour)
		if len(refused) == 0 || changed(refused) || asked != 0 || !bytes.Equal(cr.Mark(worked), worked) {
			t.Errorf("%s: the same ticket counts as changed, or the password was asked for", mechanism)
		}
		kinit(now.Add(time.Minute), time.Hour)
		if !changed(refused) || asked != wantAsked {
			t.Errorf("%s: a new ticket counts as unchanged, or the password was asked for %d times", mechanism, asked)
		}
		if mechanism == Plain && changed(cr.newMark("tanstaaf", cr.ticketID())) {
			t.Error("the same password counts as changed")
		}
	}
}

// A mark of the password of the last log-in is the known one as long as that fits.
func TestCredentials_Mark(t *testing.T) {
	credentials := &Credentials{User: "mrose"}
	if mark := credentials.Mark(nil); mark != nil {
		t.Errorf("Mark() = %x before any log-in, want none", mark)
	}
	credentials.last = "tanstaaf"
	known := credentials.Mark(nil)
	if mark := credentials.Mark(known); len(known) == 0 || !bytes.Equal(mark, known) {
		t.Errorf("Mark() = %x, want %x as before", mark, known)
	}
	credentials.last = "another"
	if mark := credentials.Mark(known); len(mark) == 0 || bytes.HasPrefix(mark, known[:markSalt]) {
		t.Errorf("Mark() = %x of another password, want one with its own salt", mark)
	}
}

// While a person is asked, the server may give up. So after a long time the log-in goes on in a new
// session, and no password is sent in this one.
func TestLogin_askedLong(t *testing.T) {
	limit := longestAsking
	t.Cleanup(func() { longestAsking = limit })
	longestAsking = -1
	for asks, want := range map[bool]error{true: pop3.ErrUnexpected, false: nil} {
		server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "tanstaaf"})
		credentials := &Credentials{User: "mrose", Asks: asks, Password: func(context.Context) (string, error) { return "tanstaaf", nil }}
		c, err := pop3.Dial(t.Context(), poptest.InClear(server.Addr(), true), &pop3.Options{TLS: pop3.TLSNone})
		if err != nil {
			t.Fatal(err)
		}
		if err := credentials.Login(t.Context(), c, nil); !errors.Is(err, want) {
			t.Errorf("Login() = %v where a person is asked: %v, want %v", err, asks, want)
		}
		if err := c.Quit(t.Context()); err != nil {
			t.Error(err)
		}
		server.Wait()
		if sent := server.Count("PASS") > 0; sent == asks {
			t.Errorf("the password was sent: %v, want %v", sent, !asks)
		}
	}
}
