package doctor_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
)

// is checks that a finding has the state, and that its text has the words.
func is(t *testing.T, f doctor.Finding, state doctor.State, words string) {
	t.Helper()
	if f.State != state || !strings.Contains(f.Text, words) {
		t.Errorf("finding %+v, want %s and %q", f, state, words)
	}
	if f.State == doctor.Warning && f.Mend == "" {
		t.Errorf("the warning %q has no mend", f.Text)
	}
}

func TestDelay(t *testing.T) {
	for _, test := range []struct {
		params   []string
		interval time.Duration
		state    doctor.State
		words    string
	}{
		{nil, time.Minute, doctor.OK, "none announced"},
		{[]string{"900"}, 5 * time.Minute, doctor.Warning, "900: 15 min between two log-ins, but interval is 5 min"},
		{[]string{"900"}, 15 * time.Minute, doctor.OK, "interval is 15 min"},
		{[]string{"900"}, 0, doctor.OK, "start runs no more often"},
		{[]string{"0"}, time.Minute, doctor.OK, "0: "},
		{[]string{"\x1b[2J"}, time.Minute, doctor.OK, `announced as \x1b[2J`},
		{[]string{"-5"}, time.Minute, doctor.OK, "names no time"},
	} {
		caps := pop3.Capabilities{}
		if test.params != nil {
			caps["LOGIN-DELAY"] = test.params
		}
		is(t, doctor.Delay(caps, test.interval), test.state, test.words)
	}
}

func TestExpire(t *testing.T) {
	const day = 24 * time.Hour
	keeps, deletes, later := doctor.Retention{}, doctor.Retention{Deletes: true}, doctor.Retention{Deletes: true, After: 30 * day}
	for _, test := range []struct {
		params []string
		r      doctor.Retention
		state  doctor.State
		words  string
	}{
		{nil, keeps, doctor.OK, "none announced"},
		{[]string{"NEVER"}, keeps, doctor.OK, "until it is deleted"},
		{[]string{"0"}, keeps, doctor.Warning, "although the account leaves it there"},
		{[]string{"0", "USER"}, later, doctor.Warning, "although the account leaves it there"},
		{[]string{"0"}, deletes, doctor.OK, "as the account does"},
		{[]string{"7"}, later, doctor.Warning, "after 7 days, before the account would (30 days)"},
		{[]string{"60"}, later, doctor.OK, "after 60 days"},
		{[]string{"60"}, keeps, doctor.OK, "after 60 days"},
		{[]string{"\x9b"}, keeps, doctor.OK, `announced as \x9b`},
	} {
		caps := pop3.Capabilities{}
		if test.params != nil {
			caps["EXPIRE"] = test.params
		}
		is(t, doctor.Expire(caps, test.r), test.state, test.words)
	}
}

func TestCapabilities(t *testing.T) {
	s := &doctor.Session{
		Before:  pop3.Capabilities{"STLS": nil, "SASL": {}, "UIDL": nil},
		AtLogin: pop3.Capabilities{"SASL": {"PLAIN", "\x1b"}, "UIDL": nil},
		After:   pop3.Capabilities{"UIDL": nil, "TOP": nil},
	}
	is(t, doctor.Capabilities(s), doctor.OK, `TOP, UIDL; before the log-in with SASL PLAIN \x1b and without TOP; before TLS with SASL and without SASL PLAIN \x1b`)
	is(t, doctor.Capabilities(new(doctor.Session)), doctor.OK, "none announced")
	many := pop3.Capabilities{}
	for i := range 1000 {
		many[fmt.Sprint("X", i)] = nil
	}
	is(t, doctor.Capabilities(&doctor.Session{AtLogin: many}), doctor.OK, "and 936 more")
}

func TestMechanisms(t *testing.T) {
	plain, user := login.Choice{Name: "PLAIN", Offered: true}, login.Choice{Name: "USER", Offered: true}
	refused := login.Choice{Name: "CRAM-MD5", Offered: true, Why: "only if auth names it"}
	absent := login.Choice{Name: "NTLM", Why: "the server does not offer it"}
	named := login.Choice{Name: "NTLM", Named: true, Why: "the server does not offer it"}
	is(t, doctor.Mechanisms([]login.Choice{plain, user, refused, absent}), doctor.OK,
		"PLAIN, the strongest of both sides; then USER; not CRAM-MD5 (only if auth names it)")
	is(t, doctor.Mechanisms([]login.Choice{user, absent}), doctor.OK, "USER, the only one of both sides")
	is(t, doctor.Mechanisms([]login.Choice{named}), doctor.Fault, "in common; not NTLM (the server does not offer it)")
	is(t, doctor.Mechanisms([]login.Choice{absent}), doctor.Fault, "the server offers nothing that popfetch knows")
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	stamp := func(skew time.Duration, form string) string { return fmt.Sprintf(form, now.Add(skew).Unix()) }
	for _, test := range []struct {
		timestamp string
		written   time.Time
		state     doctor.State
		words     string
	}{
		{"", time.Time{}, doctor.OK, "the server tells no time"},
		{stamp(0, "<17.%d@host>"), now, doctor.OK, "at most 1 s from that of the server"},
		{stamp(-2*time.Second, "<6c96.4.%x.jS89mNPwIJF4suNdUjO3fg==@host>"), now, doctor.OK, "at most 3 s"},
		{stamp(6*time.Minute, "<17.%d@host>"), now, doctor.Warning, "the server's clock is 6 min ahead"},
		{stamp(-50*time.Hour, "<17.%d@host>"), now, doctor.Warning, "the server's clock is 2 days behind"},
		{stamp(500*24*time.Hour, "<17.%d@host>"), now, doctor.OK, "tells no time"},              // some other number
		{stamp(40*24*time.Hour, "<6c96.4.%x.jS89==@host>"), now, doctor.OK, "tells no time"},    // chance
		{stamp(0, "<%x.17@host>"), now, doctor.OK, "tells no time"},                             // not Dovecot's form
		{"<99999999999999999999.-5@host>", now, doctor.OK, "tells no time"},                     // no number
		{stamp(0, "<17.%d@host>"), now.Add(time.Hour), doctor.Warning, "written 60 min later"},  // the clock was put back
		{stamp(0, "<17.%d@host>"), now.Add(time.Minute), doctor.OK, "at most 1 s from that of"}, // a rounding
	} {
		s := &doctor.Session{Timestamp: test.timestamp, GreetedAt: now}
		is(t, doctor.Clock(s, test.written, now), test.state, test.words)
	}
}

func TestUniqueIDs(t *testing.T) {
	for _, test := range []struct {
		name     string
		listing  []doctor.Listed
		unusable int
		state    doctor.State
		words    string
	}{
		{"none", nil, 0, doctor.OK, "no message is listed"},
		{"good", []doctor.Listed{{Number: 1, UniqueID: "abc"}, {Number: 2, UniqueID: "abcd"}}, 0, doctor.OK, "2, all different, of 3 to 4 octets"},
		{"repeated", []doctor.Listed{{Number: 1, UniqueID: "abc"}, {Number: 2, UniqueID: "abc", Copy: 1}}, 0, doctor.Warning, "2, of 3 octets; repeated: 1"},
		{"long", []doctor.Listed{{Number: 1, UniqueID: strings.Repeat("x", 71)}}, 0, doctor.Warning, "longer than the 70 octets that are allowed: 1"},
		{"as long as may be", []doctor.Listed{{Number: 1, UniqueID: strings.Repeat("x", 70)}}, 0, doctor.OK, "of 70 octets"},
		{"foreign", []doctor.Listed{{Number: 1, UniqueID: "a\xff"}}, 0, doctor.Warning, "not visible ASCII: 1"},
		{"numbers", []doctor.Listed{{Number: 1, UniqueID: "1"}, {Number: 2, UniqueID: "2"}}, 0, doctor.Warning, "2, each like its message-number"},
		{"one number", []doctor.Listed{{Number: 1, UniqueID: "1"}}, 0, doctor.OK, "1, all different"},
		{"made", []doctor.Listed{{Number: 1, UniqueID: " x", Made: true}, {Number: 2, UniqueID: " y", Made: true}}, 0, doctor.Warning, "the server has none; popfetch makes 2"},
		{"unusable", []doctor.Listed{{Number: 1, UniqueID: "a"}}, 2, doctor.Fault, "2 messages are listed without"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is(t, doctor.UniqueIDs(slices.Values(test.listing), test.unusable), test.state, test.words)
		})
	}
}

func TestSize(t *testing.T) {
	for octets, want := range map[int64]string{0: "0 octets", 1023: "1023 octets", 1024: "1.0 KiB", 10 << 20: "10 MiB", 1 << 62: "4.0 EiB", math.MaxInt64: "an unknown size"} {
		if got := doctor.Size(octets); got != want {
			t.Errorf("Size(%d) = %q, want %q", octets, got, want)
		}
	}
}
