package pop3

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// AuthExpecting sends CAPA and AUTH together. Afterwards only the server's present answer counts
// (RFC 2449 section 6.6).
func TestAuthExpecting(t *testing.T) {
	expected := Capabilities{"PIPELINING": nil, "SASL": {"X"}, "STALE": nil}
	const together = "C: CAPA\nC: AUTH X YQ==\n"
	isUnexpected := func(check func(error) bool) func(error) bool {
		return func(err error) bool { return errors.Is(err, ErrUnexpected) && check(err) }
	}
	for _, tt := range []struct {
		name, script string
		want         Capabilities
		check        func(error) bool
	}{
		{"as expected", together + "S: +OK\nS: SASL X\nS: PIPELINING\nS: .\nS: +OK", Capabilities{"SASL": {"X"}, "PIPELINING": nil}, nil},
		{"something else", together + "S: +OK\nS: USER\nS: .\nS: +OK", Capabilities{"USER": nil}, nil},
		{"CAPA refused", together + "S: -ERR\nS: +OK", nil, nil},
		{"a challenge all the same", together + "S: +OK\nS: .\nS: + \nC: Yg==\nS: +OK", Capabilities{}, nil},
		{"AUTH refused", together + "S: +OK\nS: SASL Y\nS: .\nS: -ERR [AUTH] no\nC: QUIT\nS: +OK", Capabilities{"SASL": {"Y"}},
			func(err error) bool {
				var r *ReplyError
				return errors.As(err, &r) && r.Command == "AUTH" && !errors.Is(err, ErrUnexpected)
			}},
		{"cancelled", together + "S: +OK\nS: .\nS: + !\nC: *\nS: -ERR\nC: QUIT\nS: +OK", Capabilities{},
			isUnexpected(func(err error) bool { return errors.Is(err, ErrCancelled) })},
		{"cut behind CAPA", together + "S: +OK\nS: .\ncut", Capabilities{}, isUnexpected(isCut)},
		{"cut inside CAPA", together + "S: +OK\nS: SASL X\ncut", nil, isUnexpected(isCut)},
		{"no reply to CAPA", together + "S: 334 go on", nil, isUnexpected(isProtocolError)},
	} {
		t.Run("R2449-3/"+tt.name, func(t *testing.T) {
			c := dial(t, "S: +OK ready\n"+tt.script)
			err := c.AuthExpecting(t.Context(), expected, &mechanism{name: "X", initial: []byte("a"), responses: []string{"b"}})
			if tt.check == nil && err != nil || tt.check != nil && !tt.check(err) {
				t.Errorf("AuthExpecting() = %v", err)
			}
			if got := c.Capabilities(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Capabilities() = %v, want %v", got, tt.want)
			}
			if strings.HasSuffix(tt.script, "C: QUIT\nS: +OK") {
				noError(t, "Quit()", c.Quit(t.Context()))
			}
		})
	}
	t.Run("R6856-1/UTF8", func(t *testing.T) {
		expected := maps.Clone(expected)
		expected["UTF8"] = nil
		for reply, want := range map[string]bool{"+OK": true, "-ERR": false} {
			c := dial(t, "S: +OK ready\nC: CAPA\nC: UTF8\nC: AUTH X YQ==\nS: +OK\nS: .\nS: "+reply+"\nS: +OK")
			noError(t, "AuthExpecting()", c.AuthExpecting(t.Context(), expected, &mechanism{name: "X", initial: []byte("a")}))
			equal(t, "UTF8 accepted", c.utf8, want)

			c = dial(t, "S: +OK ready\nC: CAPA\nC: UTF8\nS: -ERR\nS: "+reply+"\nC: AUTH X YQ==\nS: +OK")
			noError(t, "AuthExpecting()", c.AuthExpecting(t.Context(), expected, nil))
			noError(t, "Auth()", c.Auth(t.Context(), &mechanism{name: "X", initial: []byte("a")}))
			equal(t, "UTF8 accepted", c.utf8, want)
		}
		c := dial(t, "S: +OK ready\nC: CAPA\nC: UTF8\nS: +OK\nS: .\ncut")
		if err := c.AuthExpecting(t.Context(), expected, nil); !errors.Is(err, ErrUnexpected) || !isCut(err) {
			t.Errorf("AuthExpecting() = %v, want it cut, and %v", err, ErrUnexpected)
		}
	})
	t.Run("R2449-3/without a mechanism", func(t *testing.T) {
		c := dial(t, "S: +OK ready\nC: CAPA\nS: +OK\nS: USER\nS: .\nC: AUTH X YQ==\nS: +OK")
		noError(t, "AuthExpecting()", c.AuthExpecting(t.Context(), expected, nil))
		equal(t, "STALE", c.Capabilities().Has("STALE"), false)
		noError(t, "Auth()", c.Auth(t.Context(), &mechanism{name: "X", initial: []byte("a")}))
	})
	t.Run("R2449-3/without pipelining nothing is sent", func(t *testing.T) {
		mech := &mechanism{name: "X", initial: []byte("a")}
		c := dial(t, "S: +OK ready\nC: QUIT\nS: +OK")
		if err := c.AuthExpecting(t.Context(), Capabilities{"SASL": {"X"}}, mech); !errors.Is(err, ErrState) {
			t.Errorf("AuthExpecting() = %v, want %v", err, ErrState)
		}
		c.opts.Window = 1
		if err := c.AuthExpecting(t.Context(), expected, mech); !errors.Is(err, ErrState) {
			t.Errorf("AuthExpecting() with a window of one = %v, want %v", err, ErrState)
		}
		noError(t, "Quit()", c.Quit(t.Context()))
	})
}
