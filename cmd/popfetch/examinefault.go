package main

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/doctor"
	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/pop3"
)

// addFault adds the fault that ended a look, unless a finding tells it already.
func (x *examination) addFault(s *setting, err error, now time.Time) {
	var refused *tls.CertificateVerificationError
	if endedPhase(err) == fetch.PhaseOpen && errors.As(err, &refused) && len(refused.UnverifiedCertificates) > 0 {
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
	if mend := s.mend(err); mend != "" {
		return printable(strings.TrimPrefix(mend, "; "))
	}
	var reply *pop3.ReplyError
	check := x.faultyCheck(err)
	if by := via(x.account); by != "" && (check == doctor.CheckAddress || check == doctor.CheckGreeting) {
		return "look at " + by + ", which reaches the server in popfetch's place"
	}
	if mend := doctor.ReachMend(err); mend != "" && x.session.Reached == 0 {
		return mend
	}
	refused := errors.As(err, &reply)
	switch {
	case check == doctor.CheckLogin:
		return x.mendLogin(s, err)
	case errors.Is(err, fetch.ErrNoIDsNow):
		return "run check again later"
	case refused && reply.Command == "UIDL":
		return `write uidl = "fallback", or ask the provider for UIDL`
	case !refused && (check == doctor.CheckGreeting || check == doctor.CheckTLS):
		return "look at the port in server and at tls (995 with implicit, 110 with starttls); else the server is out of order"
	case check == doctor.CheckDNS, check == doctor.CheckAddress:
		return "look at server, and at the network between this machine and it"
	case check == doctor.CheckState:
		return "run check again; if it lasts, look at the folder in state_dir"
	}
	return "run check again later; if it lasts, tell whoever runs the server"
}

// mendLogin returns what to do about a log-in that failed.
func (x *examination) mendLogin(s *setting, err error) string {
	var failed *login.Error
	var secret *config.SecretError
	var token *oauth.Error
	var ticket *kerberos.Error
	switch known := errors.As(err, &failed); {
	case errors.As(err, &secret):
		return "look at " + secret.Key + ": it must give the password to the user that popfetch runs as"
	case errors.As(err, &token) && token.Fault == oauth.Refused:
		return "look at the account's options of OAuth 2, and sign in anew: " + s.commandLine("login", x.account.Name)
	case errors.As(err, &token) && token.Fault != oauth.Later && token.Fault != oauth.Broken:
		return "look at the folder oauth in state_dir: it must belong to the user that popfetch runs as, and be private"
	case errors.As(err, &token):
		return "run check again later; if it lasts, look at the account's options of OAuth 2"
	case errors.As(err, &ticket):
		return "get a ticket (kinit), and look at it (klist), as the user that popfetch runs as"
	case known && failed.Fault == login.Refused && !x.account.OAuth.IsZero():
		return "look at user, and at the scope of the access token: the provider may want POP3 switched on in its settings"
	case known && failed.Fault == login.Refused && x.account.Secretless():
		return "look at user, and at the ticket (klist) or tls_cert: they must be those of the account"
	case known && failed.Fault == login.Refused:
		return "look at user and password: the provider may want an app password, or POP3 switched on in its settings"
	case known && (failed.Fault == login.Later || failed.Fault == login.Held):
		return "wait; another program may be logged in, or too little time has passed since the last log-in"
	case known && failed.Fault == login.Cannot:
		return "look at auth, user and password: they must suit a mechanism that the server offers"
	case known && failed.Fault == login.Untrue:
		return "look at server and tls: this may be another server, or one that imitates yours"
	}
	return "run check again later; if it lasts, tell whoever runs the server"
}

// unready returns the finding that a target cannot take mail. The texts of such errors end with what to
// do, if that is known. In those of a server, its own words may stand there.
func unready(err error) doctor.Finding {
	f := doctor.Finding{Check: doctor.CheckTarget, State: doctor.Fault, Text: printable(causeOf(err)),
		Mend: "look at the key that says where the mail goes: the user that popfetch runs as must be able to use that place"}
	if mend := mendTarget(err); mend != "" {
		f.Mend = mend
	} else if at := strings.LastIndex(f.Text, "; "); at >= 0 {
		f.Text, f.Mend = f.Text[:at], f.Text[at+len("; "):]
	}
	return f
}

// mendTarget returns what to do about a server that takes no mail; "": it is another fault.
func mendTarget(err error) string {
	var temporary interface{ IsTemporary() bool }
	switch {
	case errors.Is(err, deliver.ErrLogin) && errors.As(err, &temporary) && temporary.IsTemporary():
		return "run check again later; if it lasts, look at what gives the mailbox's password or token"
	case errors.Is(err, deliver.ErrLogin):
		return "look at the user in imap, and at imap_password or imap_oauth: they must suit that server"
	case errors.Is(err, deliver.ErrUntrusted):
		return "look at the host and the port in imap (imaps usually has 993, imap with STARTTLS 143), " +
			"and at imap_tls_ca or imap_tls_fingerprint"
	case errors.Is(err, deliver.ErrUnreachable):
		return "see whether the target's server runs, and look at its address"
	case errors.Is(err, deliver.ErrProtocol):
		return "look at the target's address: another server may be there"
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
