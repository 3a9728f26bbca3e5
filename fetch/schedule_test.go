package fetch

import (
	"errors"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
)

func TestResult_Fruitless(t *testing.T) {
	in := func(phase Phase, err error) error { return &Error{Account: "work", Phase: phase, Err: err} }
	reply := func(code pop3.ResponseCode) error { return &pop3.ReplyError{Command: "PASS", Code: code} }
	for _, test := range []struct {
		name   string
		result Result
		want   bool
	}{
		{"went well", Result{}, false},
		{"connection refused", Result{Err: in(PhaseOpen, errors.New("refused"))}, true},
		{"R2449-6/IN-USE greeting", Result{Err: in(PhaseOpen, reply(pop3.CodeInUse))}, true},
		{"R2449-6/IN-USE", Result{Err: in(PhaseLogin, &login.Error{Fault: login.Later, Err: reply(pop3.CodeInUse)})}, true},
		{"R3206-1/SYS TEMP", Result{Err: in(PhaseLogin, &login.Error{Fault: login.Later, Err: reply(pop3.CodeSysTemp)})}, true},
		{"R3206-1/SYS PERM", Result{Err: in(PhaseLogin, &login.Error{Fault: login.Broken, Err: reply(pop3.CodeSysPerm)})}, true},
		{"R3206-1/AUTH", Result{Err: in(PhaseLogin, &login.Error{Fault: login.Refused, Err: reply(pop3.CodeAuth)})}, true},
		{"left alone", Result{Err: in(PhaseLogin, &login.Error{Fault: login.Refused, Until: time.Now(), Err: reply(pop3.CodeAuth)})}, false},
		{"R2449-4/too early", Result{Err: in(PhaseLogin, &login.Error{Fault: login.Held, Err: errors.New("left")})}, false},
		{"broke off with nothing", Result{Err: in(PhaseRetrieve, errors.New("cut"))}, true},
		{"broke off after a message", Result{Delivered: 1, Err: in(PhaseRetrieve, errors.New("cut"))}, false},
		{"no Maildir", Result{Err: in(PhaseTarget, errors.New("missing"))}, false},
		{"another run", Result{Err: in(PhaseLock, errors.New("locked"))}, false},
	} {
		if got := test.result.Fruitless(); got != test.want {
			t.Errorf("%s: Fruitless() of %+v = %v, want %v", test.name, test.result, got, test.want)
		}
	}
}
