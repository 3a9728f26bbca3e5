package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/tunnel"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

// Errors have one code if a person would call them the same: details that change from run to run do
// not count.
func TestCodeOf(t *testing.T) {
	in := func(phase Phase, err error) error { return &Error{Account: "work", Phase: phase, Err: err} }
	dial := func(port int, errno syscall.Errno) error {
		return fmt.Errorf("connecting to h:%d: %w", port, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: port},
			Err: os.NewSyscallError("connect", errno)})
	}
	reply := func(command string, code pop3.ResponseCode, text string) error {
		return fmt.Errorf("%s: %w", command, &pop3.ReplyError{Command: command, Code: code, Text: text})
	}
	kinds := [][]error{
		{in(PhaseOpen, dial(995, syscall.ECONNREFUSED)), in(PhaseOpen, dial(110, syscall.ECONNREFUSED)),
			in(PhaseOpen, errors.Join(dial(1, syscall.ECONNREFUSED), dial(2, syscall.ECONNREFUSED)))},
		{in(PhaseOpen, dial(995, syscall.EHOSTUNREACH))},
		{in(PhaseOpen, errors.Join(dial(1, syscall.EHOSTUNREACH), dial(2, syscall.ECONNREFUSED))),
			in(PhaseOpen, fmt.Errorf("%w; %w", dial(1, syscall.ECONNREFUSED), dial(2, syscall.EHOSTUNREACH)))},
		{in(PhaseRetrieve, dial(995, syscall.ECONNREFUSED))},
		{in(PhaseOpen, &net.DNSError{Err: "no such host", Server: "10.0.0.1:53", IsNotFound: true}),
			in(PhaseOpen, &net.DNSError{Err: "no such host", Server: "10.0.0.2:53", IsNotFound: true})},
		{in(PhaseOpen, &net.DNSError{Err: "server misbehaving"})},
		{in(PhaseOpen, reply("", pop3.CodeInUse, "by pid 17")), in(PhaseOpen, reply("", pop3.CodeInUse, "by pid 18 since noon"))},
		{in(PhaseOpen, reply("", pop3.CodeSysTemp, ""))},
		{in(PhaseList, reply("UIDL", "", "what?")), in(PhaseList, reply("UIDL", "", "say that again"))},
		{in(PhaseList, &pop3.ProtocolError{Command: "STAT", Got: "HTTP"}), in(PhaseList, &pop3.ProtocolError{Command: "STAT", Got: "220"})},
		{in(PhaseList, &pop3.ProtocolError{Command: "LIST", Got: "HTTP"})},
		{in(PhaseLogin, &login.Error{Fault: login.Refused, Err: reply("PASS", pop3.CodeAuth, "no")}),
			in(PhaseLogin, &login.Error{Fault: login.Refused, Err: reply("PASS", pop3.CodeAuth, "no, said at 17:04")})},
		{in(PhaseLogin, &login.Error{Fault: login.Later, Err: reply("PASS", "", "no")})},
		{in(PhaseLogin, &login.Error{Fault: login.Held, Err: errors.New("login delay: 120 s left")}),
			in(PhaseLogin, &login.Error{Fault: login.Held, Err: errors.New("login delay: 3 min left")})},
		{in(PhaseLogin, &login.Error{Fault: login.Cannot, Err: errors.New("the server offers nothing")})},
		{in(PhaseRetrieve, fmt.Errorf("message 17: %w", io.ErrUnexpectedEOF)), in(PhaseRetrieve, fmt.Errorf("message 4: %w", io.ErrUnexpectedEOF))},
		{in(PhaseRetrieve, fmt.Errorf("no complete reply within 60s: %w", os.ErrDeadlineExceeded)),
			in(PhaseRetrieve, fmt.Errorf("no octet within 5s: %w", os.ErrDeadlineExceeded))},
		{in(PhaseRetrieve, fmt.Errorf("stopped with 3 messages still to retrieve: %w", context.Canceled))},
		{in(PhaseOpen, fmt.Errorf("TLS handshake: %w", x509.HostnameError{Certificate: new(x509.Certificate), Host: "a"})),
			in(PhaseOpen, fmt.Errorf("TLS handshake: %w", x509.HostnameError{Certificate: new(x509.Certificate), Host: "b"}))},
		{in(PhaseOpen, fmt.Errorf("TLS handshake: %w", x509.UnknownAuthorityError{}))},
		{in(PhaseDeliver, &os.PathError{Op: "write", Path: "/m/tmp/1", Err: syscall.ENOSPC}),
			in(PhaseDeliver, &os.PathError{Op: "sync", Path: "/m/tmp/2", Err: syscall.ENOSPC})},
		{in(PhaseTarget, fmt.Errorf("/m: %w", deliver.ErrMissing))},
		{in(PhaseIdentify, errors.New("message 17 came twice")), in(PhaseIdentify, errors.New("message 18 came twice"))},
	}
	met := make(map[Code]error)
	for _, same := range kinds {
		code := CodeOf(same[0])
		for _, err := range same[1:] {
			if got := CodeOf(err); got != code {
				t.Errorf("CodeOf(%v) = %q, want %q as for %v", err, got, code, same[0])
			}
		}
		if other, ok := met[code]; ok {
			t.Errorf("CodeOf(%v) = %q, and that is the code of %v", same[0], code, other)
		}
		met[code] = same[0]
	}
}

// Codes are a contract with scripts.
func TestCodeOf_stable(t *testing.T) {
	reply := &pop3.ReplyError{Command: "PASS", Code: pop3.CodeAuth, Text: "no"}
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	unreachable := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
	for _, test := range []struct {
		phase Phase
		err   error
		want  Code
	}{
		{PhaseLock, seen.ErrLocked, "lock/in-use"},
		{PhaseState, seen.ErrNewerSchema, "state/newer"},
		{PhaseTarget, fmt.Errorf("/m: %w", deliver.ErrMissing), "target/missing"},
		{PhaseTarget, fmt.Errorf("%w: %w", deliver.ErrUnreachable, refused), "target/econnrefused/unreachable"},
		{PhaseTarget, fmt.Errorf("%w: 421 busy", deliver.ErrUnreachable), "target/unreachable"},
		{PhaseTarget, fmt.Errorf("%w: no", deliver.ErrLogin), "target/login-refused"},
		{PhaseTarget, fmt.Errorf("%w: %w", deliver.ErrLogin, notYet{}), "target/login-later"},
		{PhaseTarget, fmt.Errorf("%w: %w", deliver.ErrUntrusted, x509.UnknownAuthorityError{}), "target/certificate-authority/untrusted"},
		{PhaseDeliver, fmt.Errorf("%w: tag soup", deliver.ErrProtocol), "deliver/out-of-step"},
		{PhaseTarget, &deliver.Error{Temporary: true, Err: deliver.ErrBusy}, "target/target-deferred/locked"},
		{PhaseOpen, refused, "open/econnrefused"},
		{PhaseOpen, errors.Join(unreachable, refused), "open/econnrefused/ehostunreach"},
		{PhaseOpen, &net.DNSError{IsNotFound: true}, "open/name-unknown"},
		{PhaseOpen, &net.DNSError{IsTimeout: true, UnwrapErr: context.DeadlineExceeded}, "open/name-server"},
		{PhaseOpen, &pop3.ReplyError{Code: pop3.CodeSysTemp}, "open/greeting/sys-temp"},
		{PhaseOpen, &pop3.ReplyError{Code: "PID-17"}, "open/greeting/refused"},
		{PhaseOpen, fmt.Errorf("%w: %w", pop3.ErrHandshake, x509.CertificateInvalidError{Reason: x509.Expired}), "open/certificate-expired/handshake"},
		{PhaseOpen, &tls.CertificateVerificationError{Err: errors.New("not the pinned one")}, "open/certificate"},
		{PhaseOpen, pop3.ErrInsecure, "open/no-tls"},
		{PhaseOpen, fmt.Errorf("by the proxy: %w: 407", tunnel.ErrRefused), "open/proxy-refused"},
		{PhaseOpen, tunnel.ErrUnreached, "open/proxy-unreached"},
		{PhaseOpen, tunnel.ErrBroken, "open/proxy-broken"},
		{PhaseLogin, &login.Error{Fault: login.Refused, Err: reply}, "login/refused/pass/auth"},
		{PhaseLogin, &login.Error{Fault: login.Later, Err: &pop3.ReplyError{Command: "AUTH", Code: pop3.CodeInUse}}, "login/later/auth/in-use"},
		{PhaseLogin, &login.Error{Fault: login.Broken, Err: &pop3.ReplyError{Command: "AUTH", Code: pop3.CodeSysPerm}}, "login/broken/auth/sys-perm"},
		{PhaseLogin, &login.Error{Fault: login.Cannot, Err: errors.New("nothing in common")}, "login/cannot"},
		{PhaseLogin, &login.Error{Fault: login.Refused, Err: reply, Until: time.Now()}, "login/left-alone"},
		{PhaseLogin, &login.Error{Fault: login.Held, Err: errors.New("3 s left")}, CodeHeld},
		{PhaseList, &pop3.ProtocolError{Command: "STAT"}, "list/stat/out-of-step"},
		{PhaseIdentify, fmt.Errorf("%w, none of them", ErrNewUIDs), "identify/new-unique-ids"},
		{PhaseList, fmt.Errorf("%w: %w", ErrNoIDsNow, &pop3.ReplyError{Command: "UIDL"}), "list/uidl/refused/for-now"},
		{PhaseRetrieve, io.ErrUnexpectedEOF, "retrieve/broke-off"},
		{PhaseRetrieve, fmt.Errorf("no octet within 5s: %w", os.ErrDeadlineExceeded), "retrieve/timed-out"},
		{PhaseRetrieve, fmt.Errorf("cut: %w", errDeadline), "retrieve/deadline"},
		{PhaseDeliver, &os.PathError{Op: "write", Err: syscall.ENOSPC}, "deliver/enospc"},
		{PhaseRecord, errors.New("database disk image is malformed"), "record"},
		{"", &deliver.Error{Temporary: true, Err: errors.New("exit status 75")}, "target-deferred"},
		{"", &deliver.Error{Err: errors.New("exit status 1")}, "target-refused"},
		{"", nil, ""},
	} {
		err := test.err
		if test.phase != "" {
			err = &Error{Account: "work", Phase: test.phase, Err: err}
		}
		if got := CodeOf(err); got != test.want {
			t.Errorf("CodeOf(%v) = %q, want %q", err, got, test.want)
		}
	}
}

// notYet is the error of a secret that cannot be had now.
type notYet struct{}

func (notYet) Error() string     { return "later" }
func (notYet) IsTemporary() bool { return true }
