package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/fetch/custody"
	"github.com/popfetch/popfetch/internal/hosts"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

const (
	// finishTimeout is added to recordTimeout for each listed message at the end of a session,
	// because all of them may have been deleted.
	finishTimeout = time.Millisecond
)

// session is one connection: a logged-in client, and what it has found listed. Its methods stand in
// the files of its phases: listing, examine, recognise and transfer; study in run.go, remove in
// remove.go.
type session struct {
	job     *job
	memory  *memory
	history *history
	client  *pop3.Client
	drop    *maildrop
	found   []seen.Record  // of what the target was found to hold
	idle    func()         // what Options.Idle does in this phase, or nil
	removal *custody.Watch // nil: nothing is deleted because it was removed at the target
	expires bool           // the server may remove at QUIT what it has shown (EXPIRE 0)
	// Headers are asked for only to learn how old messages are.
	asksDates bool
}

// open opens a session. If the host refuses it because of the other sessions of this process there,
// it is tried again when one of these has ended.
func open(j *job, m *memory, h *history) (*session, error) {
	for waited := false; ; waited = true {
		if err := j.host.Enter(j.soft, j.now); err != nil {
			return nil, j.fail(PhaseOpen, err)
		}
		s, err := openNow(j, m, h)
		if err == nil {
			j.host.LetIn(waited)
			return s, nil
		}
		isCrowded := errors.As(err, new(crowdedError))
		if isCrowded {
			j.host.NoteFull(j.now())
		} else if waited { // that was not the reason
			j.host.NoteOther()
		}
		j.host.GiveUp()
		if !isCrowded {
			return nil, err
		}
	}
}

// openNow connects, asks for the capabilities and logs in.
func openNow(j *job, m *memory, h *history) (*session, error) {
	s := &session{job: j, memory: m, history: h, drop: new(maildrop)}
	options := j.account.POP3
	options.Idle = func() {
		if s.idle != nil {
			s.idle()
		}
	}
	if m.pace.lockstep {
		options.Window = 1
	}
	s.warnOfClearText()
	client, err := pop3.Dial(s.job.soft, s.job.account.Server, &options)
	if err != nil {
		return nil, s.job.fail(PhaseOpen, s.crowded(err, false))
	}
	s.client = client
	s.warnOfOldTLS()
	if err := s.logIn(); err != nil {
		err = s.leave(err)
		_ = s.client.Close() // QUIT may not have been possible
		return nil, err
	}
	return s, nil
}

// close ends the session, in whatever state it is.
func (s *session) close() {
	_ = s.client.Close() // nothing is left to save
	s.memory.keepBound()
	s.job.host.Leave()
}

// logIn asks for the capabilities, unless those of an earlier run are expected, and logs in.
func (s *session) logIn() error {
	expected := s.memory.expected()
	if expected == nil {
		if err := s.askCapabilities(); err != nil {
			return err
		}
		if s.client.Capabilities().Has("UTF8") {
			// Without UTF8, Courier replaces mail with raw 8-bit headers by a notice (RFC 6856
			// section 2).
			if err := s.client.UTF8(s.job.soft); err != nil && !isReply(err) {
				return s.job.fail(PhaseOpen, err)
			}
		}
	}
	if err := s.job.held(PhaseLogin); err != nil {
		return err
	}
	err := s.job.account.Login(s.job.soft, s.client, expected)
	if errors.Is(err, pop3.ErrUnexpected) {
		return s.job.fail(PhaseOpen, err)
	}
	if err := s.crowded(err, true); errors.As(err, new(crowdedError)) {
		return s.job.fail(PhaseLogin, err)
	}
	caps := s.client.Capabilities()
	if err := s.memory.noteLogin(err, caps); err != nil {
		return err
	}
	loggedInAt := s.job.now()
	delay := announcedDelay(caps)
	if mayChangeAtLogin(caps) {
		if err := s.askCapabilities(); err != nil {
			return err
		}
		if after := s.client.Capabilities(); after.Has("LOGIN-DELAY") {
			delay = announcedDelay(after)
		}
	}
	if delay > 0 {
		s.history.notBefore = loggedInAt.Add(min(delay, longestHold))
	}
	s.noteExpiry()
	return nil
}

// askCapabilities sends CAPA. A server that refuses it is treated as one from 1996, without any.
func (s *session) askCapabilities() error {
	if _, err := s.client.Capa(s.job.soft); err != nil && !isReply(err) {
		return s.job.fail(PhaseOpen, err)
	}
	return nil
}

// mayChangeAtLogin reports whether to ask for capabilities again after the log-in. Some servers
// announce them only then (RFC 2449 section 5). USER says that a value depends on the user
// (sections 6.5 and 6.7).
func mayChangeAtLogin(caps pop3.Capabilities) bool {
	ownValue := func(params []string) bool {
		return slices.ContainsFunc(params, func(p string) bool { return strings.EqualFold(p, "USER") })
	}
	return caps != nil && (!caps.Has("PIPELINING") || !caps.Has("UIDL") || !caps.Has("TOP") ||
		ownValue(caps["LOGIN-DELAY"]) || ownValue(caps["EXPIRE"]))
}

// warnOfClearText warns that others may read along (RFC 8314 section 3).
func (s *session) warnOfClearText() {
	a := s.job.account
	if a.POP3.TLS == pop3.TLSNone && (!hosts.IsLoopback(a.Server) || a.POP3.Dial != nil) {
		s.job.warn(CodeClearText, "password and mail cross the network to %s in clear, because tls is none", a.Server)
	}
}

// warnOfOldTLS warns of a session that others may read, now or after the server's key is stolen.
func (s *session) warnOfOldTLS() {
	state, protected := s.client.TLSState()
	isOld := func(suite *tls.CipherSuite) bool { return suite.ID == state.CipherSuite }
	if protected && (state.Version < tls.VersionTLS12 || slices.ContainsFunc(tls.InsecureCipherSuites(), isOld)) {
		s.job.warn(CodeOldTLS, "the server speaks %s with %s, which is not safe any more",
			tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	}
}

// noteExpiry reads EXPIRE (RFC 2449 section 6.7): after how many days the server removes messages
// by itself. With 0 it may remove at QUIT what it has shown. Gmail announces 0 for everyone and
// keeps the mail. So there is no warning, but QUIT is left out if something would be lost (see
// quit).
func (s *session) noteExpiry() {
	expire := s.client.Capabilities()["EXPIRE"]
	if len(expire) == 0 {
		return
	}
	days, err := strconv.Atoi(expire[0])
	if err != nil { // NEVER
		return
	}
	s.expires = days == 0
	if days > 0 && s.job.account.Delete.ByAge() && s.job.account.Delete.After > time.Duration(days)*24*time.Hour {
		s.job.warn(CodeExpire, "the server removes messages after %d days (EXPIRE), before the account would", days)
	}
}

// quit ends the session after the deletions. Only a positive reply to QUIT confirms them.
//
// A server that announces EXPIRE 0 may remove at QUIT what it has shown in this session. So if some
// of that is not recorded, the session is closed without QUIT, and nothing is deleted (R2449-5).
func (s *session) quit(deleted int) error {
	said, err := s.sayQuit(deleted > 0)
	if err != nil {
		return err
	}
	unfinished := s.history.unfinished || s.job.ledger.Account().Unfinished
	if !said || s.drop.diff.Unchanged && deleted == 0 && !unfinished {
		return nil
	}
	if err := s.finish(deleted); err != nil {
		return s.job.fail(PhaseRecord, err)
	}
	s.history.unfinished = false
	s.job.count(func(r *Result) { r.Deleted += deleted })
	if deleted == 0 {
		return nil
	}
	clear(s.history.silent) // the next session has other numbers
	for it := range s.drop.all() {
		if it.is(isDeleted) {
			s.job.event(Event{Kind: Deleted, Number: it.Number, UniqueID: it.UniqueID, Octets: it.Octets,
				Rule: string(s.drop.ruleAt(it.index))})
		}
	}
	return nil
}

// quitLoses reports whether QUIT could remove a message that is not safe (EXPIRE 0).
func (s *session) quitLoses() bool {
	return s.expires && s.drop.exposed(s.memory.purpose != fetching)
}

// quitTimeout limits the wait for the reply to QUIT when no deletion depends on it. Some servers
// never answer.
const quitTimeout = 10 * time.Second

// sayQuit sends QUIT, unless the server could remove what it has shown. It reports whether it did.
// Where nothing depends on the reply, it need not come.
func (s *session) sayQuit(deletes bool) (said bool, err error) {
	if s.quitLoses() {
		_ = s.client.Close()
		return false, nil
	}
	if err := s.job.held(PhaseQuit); err != nil { // QUIT would carry out the deletions
		_ = s.client.Close()
		return false, err
	}
	ctx := s.job.hard
	if !deletes {
		limited, cancel := context.WithTimeout(ctx, quitTimeout)
		defer cancel()
		ctx = limited
	}
	err = s.client.Quit(ctx)
	switch {
	case err == nil:
		return true, nil
	case deletes:
		return false, s.job.fail(PhaseQuit, err)
	}
	s.job.event(Event{Kind: Noted, Code: CodeNoGoodbye, Err: fmt.Errorf("nothing was to be deleted, so the reply to QUIT does not matter: %w", err)})
	return true, nil
}

// finish tells the ledger what the maildrop holds now. So does a run that was stopped while it
// deleted, because its listing was complete.
func (s *session) finish(deleted int) error {
	limit := recordTimeout + time.Duration(len(s.drop.listing))*finishTimeout
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.job.hard), limit)
	defer cancel()
	gone := make([]seen.Deleted, 0, deleted)
	for it := range s.drop.all() {
		if it.is(isDeleted) {
			gone = append(gone, seen.Deleted{Key: it.Key, Rule: string(s.drop.ruleAt(it.index))})
		}
	}
	diff := s.drop.diff
	if s.job.account.All { // seen messages have new records too
		diff = seen.Diff{}
	}
	return s.job.ledger.Finish(ctx, diff, s.drop.left(deleted), gone, s.job.now())
}

// leave ends a session after err, and returns err. If the session is in step it sends QUIT, so that
// the server frees the maildrop at once. No message has been marked by DELE yet.
func (s *session) leave(err error) error {
	var suspect *suspectError
	if errors.As(err, &suspect) || s.quitLoses() {
		_ = s.client.Close() // replies cannot be told apart, so nothing more is sent
		return err
	}
	_ = s.client.Quit(s.job.hard) // err is more important
	return err
}

// recallSuspects notes the messages that earlier runs found suspect.
func (h *history) recallSuspects(d *maildrop) {
	for n := range d.diff.Aside {
		key := d.diff.Aside[n].Key
		if _, settled := h.settled[key]; d.diff.Aside[n].Reason == seen.Suspect && h.suspects[key] == nil && !settled {
			h.suspects[key] = &suspicion{octets: -1}
		}
	}
}

// crowdedError is a session that a host refused while other sessions of this process were there.
// These may be the reason.
type crowdedError struct{ error }

func (e crowdedError) Unwrap() error { return e.error }

// mostCrowded limits how often a run is refused a session and waits for another one to end.
const mostCrowded = 2

// crowded returns err, which the host refused a session with, as a crowdedError if other sessions
// may be the reason. A password is sent once more at most.
func (s *session) crowded(err error, sent bool) error {
	var reply *pop3.ReplyError
	refused := errors.As(err, &reply) || !sent && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET))
	if !refused || s.job.host.Others() == 0 || s.history.crowded >= mostCrowded || sent && s.history.sentAgain {
		return err
	}
	if reply != nil && (reply.Code == pop3.CodeAuth || reply.Code == pop3.CodeLoginDelay || reply.Code == pop3.CodeSysPerm) {
		return err
	}
	s.history.crowded++
	s.history.sentAgain = s.history.sentAgain || sent
	return crowdedError{err}
}

// find returns the index of a message-number among entries in ascending order.
func find(entries []seen.Entry, number int) (index int, found bool) {
	return slices.BinarySearchFunc(entries, number, func(e seen.Entry, number int) int { return e.Number - number })
}
