package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/pop3"
)

// Errors are of one kind if a person would call them the same: details that change from run to run do not count.
func TestKindOf(t *testing.T) {
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
	seen := make(map[string]error)
	for _, same := range kinds {
		kind := kindOf(same[0])
		for _, err := range same[1:] {
			if got := kindOf(err); got != kind {
				t.Errorf("kindOf(%v) = %q, want %q as for %v", err, got, kind, same[0])
			}
		}
		if other, ok := seen[kind]; ok {
			t.Errorf("kindOf(%v) = %q, and that is the kind of %v", same[0], kind, other)
		}
		seen[kind] = same[0]
	}
	if want := "error: " + kindOf(in(PhaseLogin, &login.Error{Fault: login.Held, Err: errors.New("login delay: 9 s left")})); heldLine != want {
		t.Errorf("the line of what comes too early is %q, want %q", heldLine, want)
	}
}
