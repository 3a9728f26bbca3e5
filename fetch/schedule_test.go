package fetch

import (
	"errors"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
)

func TestBackOff(t *testing.T) {
	const m = time.Minute
	for _, test := range []struct {
		interval time.Duration
		want     []time.Duration // after 0, 1, 2, … failures in a row
	}{
		{5 * m, []time.Duration{5 * m, 5 * m, 10 * m, 20 * m, 30 * m, 30 * m, 30 * m}},
		{30 * m, []time.Duration{30 * m, 30 * m, 30 * m}},
		{24 * time.Hour, []time.Duration{24 * time.Hour, 24 * time.Hour, 24 * time.Hour}},
		{time.Second, []time.Duration{time.Second, time.Second, 2 * time.Second, 4 * time.Second}},
	} {
		for failures, want := range test.want {
			if got := backOff(test.interval, failures); got != want {
				t.Errorf("backOff(%v, %d) = %v, want %v", test.interval, failures, got, want)
			}
		}
		if got := backOff(test.interval, 1<<40); got > max(test.interval, longestBackOff) {
			t.Errorf("backOff(%v, very many) = %v, want %v at most", test.interval, got, longestBackOff)
		}
	}
}

func TestIsFruitless(t *testing.T) {
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
		if got := isFruitless(test.result); got != test.want {
			t.Errorf("%s: isFruitless(%+v) = %v, want %v", test.name, test.result, got, test.want)
		}
	}
}
