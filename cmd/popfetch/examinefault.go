package main

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
)

// addFault adds the fault that ended a look, unless a finding tells it already.
func (x *examination) addFault(s *setting, err error, now time.Time) {
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) && len(refused.UnverifiedCertificates) > 0 {
		x.certificate = doctor.Describe(refused.UnverifiedCertificates[0])
		x.add(doctor.Refused(refused, mendCertificate(refused, x.account, now), now))
		return
	}
	if caps := x.session.AtLogin; endedPhase(err) == fetch.PhaseLogin && caps.Has("LOGIN-DELAY") {
		x.add(doctor.Delay(caps, x.account.Interval))
	}
	f := doctor.Finding{Check: x.faultyCheck(err), State: doctor.Fault, Text: printable(causeOf(err)), Mend: x.mendFault(s, err)}
	for i := range x.findings {
		if known := &x.findings[i]; known.State == doctor.Fault {
			if known.Check == doctor.CheckMechanisms && f.Check != doctor.CheckLogin {
				continue
			}
			return
		}
	}
	x.add(f)
}

// causeOf returns the text of an error without the account and the phase.
func causeOf(err error) string {
	var run *fetch.Error
	if errors.As(err, &run) {
		return run.Err.Error()
	}
	return err.Error()
}

// endedPhase returns the phase that an error ended; empty: there is no error.
func endedPhase(err error) fetch.Phase {
	var run *fetch.Error
	switch {
	case errors.As(err, &run):
		return run.Phase
	case err != nil:
		return fetch.PhaseOpen
	}
	return ""
}

// faultyCheck returns the check that an error belongs to.
func (x *examination) faultyCheck(err error) string {
	var dns *net.DNSError
	switch phase := endedPhase(err); {
	case phase == fetch.PhaseState, phase == fetch.PhaseLock, phase == fetch.PhaseRecord:
		return doctor.CheckState
	case phase == fetch.PhaseTarget, phase == fetch.PhaseDeliver:
		return doctor.CheckTarget
	case phase == fetch.PhaseLogin:
		return doctor.CheckLogin
	case phase == fetch.PhaseList, phase == fetch.PhaseIdentify:
		return doctor.CheckUIDL
	case phase != fetch.PhaseOpen:
		return doctor.CheckMaildrop
	case errors.As(err, &dns) && via(x.account) == "":
		return doctor.CheckDNS
	case x.session.Reached == 0:
		return doctor.CheckAddress
	case errors.Is(err, pop3.ErrHandshake), errors.Is(err, pop3.ErrImplicitTLS), errors.Is(err, pop3.ErrInsecure), x.lacksTLS():
		return doctor.CheckTLS
	case x.session.GreetedAt.IsZero():
		return doctor.CheckGreeting
	}
	return doctor.CheckCapabilities
}

// lacksTLS reports whether the session ended before the TLS that the account wants.
func (x *examination) lacksTLS() bool {
	return x.session.TLS == nil && (x.account.TLS == "implicit" || x.account.TLS == "starttls" && !x.session.GreetedAt.IsZero())
}

// mendFault returns what to do about an error that ended a look.
func (x *examination) mendFault(s *setting, err error) string {
	var failed *login.Error
	var reply *pop3.ReplyError
	if mend := s.mend(err); mend != "" {
		return printable(strings.TrimPrefix(mend, "; "))
	}
	check := x.faultyCheck(err)
	if by := via(x.account); by != "" && (check == doctor.CheckAddress || check == doctor.CheckGreeting) {
		return "look at " + by + ", which reaches the server in popfetch's place"
	}
	if mend := doctor.ReachMend(err); mend != "" && x.session.Reached == 0 {
		return mend
	}
	switch {
	case errors.As(err, &failed) && failed.Fault == login.Refused && !x.account.OAuth.IsZero():
		return "look at user, and at the scope of the access token: the provider may want POP3 switched on in its settings"
	case errors.As(err, &failed) && failed.Fault == login.Refused:
		return "look at user and password: the provider may want an app password, or POP3 switched on in its settings"
	case errors.As(err, &failed) && failed.Fault == login.Later:
		return "wait; another program may be logged in, or too little time has passed since the last log-in"
	case errors.Is(err, fetch.ErrNoIDsNow):
		return "run check again later"
	case errors.As(err, &reply) && reply.Command == "UIDL":
		return `write uidl = "fallback", or ask the provider for UIDL`
	case check == doctor.CheckGreeting, check == doctor.CheckTLS:
		return "look at the port in server and at tls (995 with implicit, 110 with starttls); else the server is out of order"
	}
	return ""
}

// mendCertificate returns what to do about a refused certificate. The line that pins its key follows.
func mendCertificate(refused *tls.CertificateVerificationError, a *config.Account, now time.Time) string {
	leaf := refused.UnverifiedCertificates[0]
	const pin = "if you are sure that this is the right server, pin its key"
	switch name := otherName(refused, leaf); {
	case len(a.TLSFingerprint) > 0:
		return "if you are sure that this is the right server, and that it has a new key, put that in the place of the pinned one"
	case now.After(leaf.NotAfter):
		return "look at this machine's clock (date -u); if it is right, tell whoever runs the server to renew it; until then, " + pin
	case now.Before(leaf.NotBefore):
		return "look at this machine's clock (date -u); if it is right, tell whoever runs the server"
	case name != "":
		return "if your server bears that name too, write tls_server_name = \"" + name + "\"; or, " + pin
	case a.TLSCA == "":
		return "name its authority in tls_ca; or, " + pin
	}
	return pin
}
