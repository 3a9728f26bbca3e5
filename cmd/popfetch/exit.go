package main

import (
	"context"
	"errors"
	"net"
	"slices"
	"syscall"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/foreign"
	"github.com/popfetch/popfetch/internal/kerberos"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/internal/tunnel"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/postgres"
)

// These are the exit statuses. They follow sysexits.h. Go's runtime has one of its own, 2, if the
// system gives it no memory or no thread.
const (
	exitOK          = 0
	exitEmpty       = 1  // --fail-empty
	exitUsage       = 64 // wrong usage
	exitQuarantined = 65 // a message was refused too often, and is left alone; or import: a file is broken
	exitAltered     = 65 // verify: a message is missing or altered
	exitNoHost      = 68 // the server's name is unknown
	exitUnavailable = 69 // the server lacks what is needed
	exitSoftware    = 70 // a fault in popfetch itself
	exitCantCreate  = 73 // state or destination could not be created
	exitIO          = 74 // reading or writing failed
	exitTempFail    = 75 // try again later
	exitProtocol    = 76 // the server broke the protocol
	exitNoPerm      = 77 // log-in refused, certificate refused, no TLS
	exitConfig      = 78 // the configuration is wrong
)

// urgency orders the statuses of several accounts. The one that a person must act on first comes
// first.
var urgency = []int{exitConfig, exitNoPerm, exitCantCreate, exitIO, exitSoftware, exitProtocol, exitUnavailable, exitNoHost, exitQuarantined, exitTempFail}

// statusKinds name for scripts what kind of fault a status means. They are part of the contract.
var statusKinds = map[int]string{
	exitQuarantined: "quarantined",
	exitNoHost:      "no-host",
	exitUnavailable: "unavailable",
	exitSoftware:    "software",
	exitCantCreate:  "cannot-create",
	exitIO:          "input-output",
	exitTempFail:    "temporary",
	exitProtocol:    "protocol",
	exitNoPerm:      "no-permission",
	exitConfig:      "configuration",
}

// errEmpty gives the status of --fail-empty. Its text is not printed.
var errEmpty = errors.New("nothing was new")

// errEnded means that a signal has ended a resident popfetch, which is its normal end. Its text is
// not printed.
var errEnded = errors.New("ended by a signal")

// runError means that not all accounts went well. Each fault was printed when it happened.
type runError struct{ statuses []int }

func (e *runError) Error() string { return "not everything went well" }

// withStatus adds the status of a fault that was printed to an outcome.
func withStatus(outcome error, status int) error {
	var runs *runError
	if errors.As(outcome, &runs) {
		return &runError{append(runs.statuses, status)}
	}
	return errors.Join(outcome, &runError{[]int{status}})
}

// status returns the status of the most urgent fault.
func (e *runError) status() int { return mostUrgent(e.statuses) }

// mostUrgent returns the status of several faults; of none it is exitOK.
func mostUrgent(statuses []int) int {
	if len(statuses) == 0 {
		return exitOK
	}
	return slices.MinFunc(statuses, func(a, b int) int { return slices.Index(urgency, a) - slices.Index(urgency, b) })
}

// exitStatus returns the exit status for an error. No other place decides it.
func exitStatus(err error) int {
	var caught signalError
	var usage usageError
	var runs *runError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &caught):
		return 128 + int(caught.Signal)
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &runs):
		return runs.status()
	case errors.Is(err, errEmpty):
		return exitEmpty
	case errors.Is(err, errEnded), errors.Is(err, errUnread):
		return exitOK
	}
	return faultStatus(err)
}

// resultStatuses returns the statuses of all faults of one account.
func resultStatuses(r fetch.Result) []int {
	var statuses []int
	if r.Err != nil {
		statuses = append(statuses, faultStatus(r.Err))
	}
	if r.Failed > 0 {
		statuses = append(statuses, exitTempFail)
	}
	if r.Quarantined > 0 {
		statuses = append(statuses, exitQuarantined)
	}
	if r.Unusable > 0 {
		statuses = append(statuses, exitProtocol)
	}
	return statuses
}

// runStatuses is resultStatuses of a run that may have been told what to retrieve. A unique-id that
// is not listed is no fault of the account.
func runStatuses(r fetch.Result) []int {
	statuses := resultStatuses(r)
	if r.Unlisted > 0 {
		statuses = append(statuses, exitUnavailable)
	}
	return statuses
}

// faultStatus returns the status of one fault.
func faultStatus(err error) int {
	var (
		failed   *login.Error
		protocol *pop3.ProtocolError
		reply    *pop3.ReplyError
		dns      *net.DNSError
		mistakes config.Errors
		mistake  *config.Error
		refusal  *deliver.Error
		token    *oauth.Error
		run      *fetch.Error
		added    *config.AppendError
		file     *foreign.Error
		secret   *config.SecretError
	)
	switch {
	case errors.Is(err, seen.ErrLost), errors.Is(err, postgres.ErrAway): // whatever came of it
		return exitTempFail
	case errors.As(err, &file):
		return foreignStatus(file)
	case errors.As(err, new(*stateError)):
		return exitQuarantined
	case errors.As(err, &mistakes), errors.As(err, &mistake), errors.Is(err, deliver.ErrNotLocal):
		return exitConfig
	case errors.As(err, &added):
		return appendStatus(added)
	case errors.Is(err, errOtherState):
		return exitCantCreate
	case errors.As(err, new(noServerError)):
		return exitNoHost
	case errors.As(err, &failed):
		return loginStatus(failed)
	case errors.As(err, &token):
		return tokenStatuses[token.Fault]
	case errors.Is(err, seen.ErrLocked), errors.Is(err, seen.ErrBusy), errors.Is(err, seen.ErrUnsettled), errors.Is(err, fetch.ErrNoIDsNow), errors.Is(err, fetch.ErrRenamed), errors.Is(err, deliver.ErrUnreachable):
		return exitTempFail
	case errors.Is(err, deliver.ErrMissing), errors.Is(err, deliver.ErrForeign), errors.Is(err, deliver.ErrCreate), errors.Is(err, deliver.ErrUnfit), errors.Is(err, seen.ErrCreate), errors.Is(err, seen.ErrOwner), errors.Is(err, errUncreated):
		return exitCantCreate
	case errors.As(err, &secret) && secret.Temporary:
		return exitTempFail
	case errors.Is(err, postgres.ErrRefused): // while accounts are at work; see openDatabase
		return exitConfig
	case errors.Is(err, deliver.ErrLogin), errors.Is(err, deliver.ErrUntrusted):
		return exitNoPerm
	case errors.Is(err, deliver.ErrProtocol):
		return exitProtocol
	case errors.Is(err, pop3.ErrInsecure), errors.Is(err, pop3.ErrImplicitTLS), errors.Is(err, pop3.ErrHandshake), isRejection(err), errors.Is(err, tunnel.ErrRefused):
		return exitNoPerm
	case errors.As(err, &protocol), errors.Is(err, tunnel.ErrBroken), errors.Is(err, fetch.ErrNewUIDs): // unique-ids must persist across sessions (RFC 1939 section 7)
		return exitProtocol
	case errors.Is(err, fetch.ErrNoTop):
		return exitUnavailable
	case errors.Is(err, pop3.ErrState), errors.Is(err, pop3.ErrArgument):
		return exitSoftware
	case errors.As(err, &dns) && dns.IsNotFound:
		return exitNoHost
	case errors.As(err, &reply):
		return replyStatus(err, reply)
	case errors.As(err, &refusal): // a program that cannot be run, or that refuses everything
		return exitTempFail
	case errors.As(err, &run):
		return phaseStatus(run)
	case errors.Is(err, seen.ErrUnknown):
		return exitUsage
	}
	return exitIO // a file, the seen-table, standard output, the terminal
}

// appendStatus returns the status of a configuration file to which nothing could be added.
func appendStatus(failed *config.AppendError) int {
	for _, io := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		if errors.Is(failed, io) {
			return exitIO
		}
	}
	return exitCantCreate
}

// foreignStatus tells a file of another program that is broken from one that cannot be read.
func foreignStatus(file *foreign.Error) int {
	var call syscall.Errno
	if errors.As(file, &call) {
		return exitIO
	}
	return exitQuarantined
}

func loginStatus(failed *login.Error) int {
	var secret *config.SecretError
	var token *oauth.Error
	var ticket *kerberos.Error
	switch {
	case errors.As(failed, &token):
		return tokenStatuses[token.Fault]
	case failed.Fault == login.Later, failed.Fault == login.Held:
		return exitTempFail
	case errors.As(failed, &secret) && secret.Temporary, errors.As(failed, &ticket) && ticket.Temporary:
		return exitTempFail
	case failed.Fault == login.Broken:
		return exitUnavailable
	case failed.Fault == login.Untrue:
		return exitProtocol
	default:
		return exitNoPerm
	}
}

// tokenStatuses are those of faults that leave an account without an access token.
var tokenStatuses = map[oauth.Fault]int{
	oauth.Later:     exitTempFail,
	oauth.Refused:   exitNoPerm,
	oauth.Broken:    exitProtocol,
	oauth.State:     exitIO,
	oauth.Uncreated: exitCantCreate,
	oauth.Exposed:   exitConfig,
}

// replyStatus returns the status of a refusal that ended a run, but not the log-in.
func replyStatus(err error, reply *pop3.ReplyError) int {
	var run *fetch.Error
	lacks := errors.As(err, &run) && run.Phase == fetch.PhaseList
	switch {
	case reply.Code == pop3.CodeSysTemp, reply.Code == pop3.CodeInUse, reply.Code == pop3.CodeLoginDelay:
		return exitTempFail
	case reply.Code == pop3.CodeSysPerm, lacks:
		return exitUnavailable
	case reply.Code == pop3.CodeAuth:
		return exitNoPerm
	}
	return exitTempFail
}

// phaseStatus returns the status of a fault by the phase that it ended. It is used if the type of
// the error does not decide.
func phaseStatus(run *fetch.Error) int {
	switch run.Phase {
	case fetch.PhaseLock, fetch.PhaseState, fetch.PhaseTarget, fetch.PhaseDeliver, fetch.PhaseRecord:
		if errors.Is(run.Err, context.Canceled) || errors.Is(run.Err, context.DeadlineExceeded) {
			return exitTempFail
		}
		return exitIO
	}
	return exitTempFail // the connection was refused, timed out or broke
}

// isAlert reports whether one side has ended TLS by an alert. A server may do so because it wants
// another client certificate. The type of such an error is crypto/tls's own.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

// isRejection reports whether the server has refused TLS after the handshake. It may do so because
// it wants another client certificate. A later alert means that the connection broke.
func isRejection(err error) bool {
	var op *net.OpError
	var run *fetch.Error
	return errors.As(err, &op) && op.Op == "remote error" && errors.As(err, &run) && (run.Phase == fetch.PhaseOpen || run.Phase == fetch.PhaseLogin)
}

// describe returns the text of an error that nobody has printed yet.
func describe(err error) string {
	var caught signalError
	var runs *runError
	switch {
	case err == nil, errors.Is(err, errEmpty), errors.Is(err, errEnded), errors.Is(err, errUnread), errors.As(err, &runs), errors.As(err, &caught):
		return ""
	}
	return err.Error()
}

// statusesOf returns the statuses of a runError, and any other error.
func statusesOf(err error) ([]int, error) {
	var runs *runError
	if errors.As(err, &runs) {
		return runs.statuses, nil
	}
	return nil, err
}
