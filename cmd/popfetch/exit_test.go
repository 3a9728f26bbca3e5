package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/oauth"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/internal/tunnel"
	"github.com/popfetch/popfetch/pop3"
	"github.com/popfetch/popfetch/seen"
)

func TestExitStatus(t *testing.T) {
	in := func(phase fetch.Phase, err error) error { return &fetch.Error{Account: "work", Phase: phase, Err: err} }
	wrapped := func(err error) error { return fmt.Errorf("doing something: %w", err) }
	refused := func(code pop3.ResponseCode) error {
		return wrapped(&pop3.ReplyError{Command: "RETR", Code: code, Text: "no"})
	}
	failing := func(fault login.Fault) error {
		return in(fetch.PhaseLogin, &login.Error{Fault: fault, Err: refused(pop3.CodeSysTemp)})
	}
	for _, test := range []struct {
		name string
		err  error
		want int
	}{
		{"0", nil, 0},
		{"1", errEmpty, 1},
		{"64/usage", wrapped(usagef("what?")), 64},
		{"64/an account that nobody knows", wrapped(seen.ErrUnknown), 64},
		{"68/no such host", in(fetch.PhaseOpen, wrapped(&net.DNSError{IsNotFound: true})), 68},
		{"69/no unique-ids", in(fetch.PhaseList, refused("")), 69},
		{"69/SYS-PERM", in(fetch.PhaseRetrieve, refused(pop3.CodeSysPerm)), 69},
		{"69/SYS-PERM at the log-in", failing(login.Broken), 69},
		{"76/a server that is imitated", failing(login.Untrue), 76},
		{"70/commands out of their order", wrapped(pop3.ErrState), 70},
		{"73/Maildir is gone", in(fetch.PhaseTarget, wrapped(deliver.ErrMissing)), 73},
		{"73/another user's Maildir", in(fetch.PhaseTarget, wrapped(deliver.ErrForeign)), 73},
		{"73/another user's state", wrapped(seen.ErrOwner), 73},
		{"73/state cannot be made", wrapped(seen.ErrCreate), 73},
		{"74/disk full", in(fetch.PhaseDeliver, wrapped(syscall.ENOSPC)), 74},
		{"74/not recorded", in(fetch.PhaseRecord, errors.New("database disk image is malformed")), 74},
		{"74/not readable", wrapped(&fs.PathError{Op: "open", Path: "seen.db", Err: fs.ErrPermission}), 74},
		{"74/later version", wrapped(seen.ErrNewerSchema), 74},
		{"74/anything of this machine", errors.New("file is not a database"), 74},
		{"75/in use", failing(login.Later), 75},
		{"65/an export that is wrong", &stateError{1, errors.New("cut")}, 65},
		{"75/a server that takes no mail", in(fetch.PhaseTarget, wrapped(deliver.ErrUnreachable)), 75},
		{"75/a server that takes no mail has no name", in(fetch.PhaseTarget, fmt.Errorf("%w: %w", deliver.ErrUnreachable, &net.DNSError{IsNotFound: true})), 75},
		{"78/SMTP off loopback", wrapped(deliver.ErrNotLocal), 78},
		{"75/another popfetch", in(fetch.PhaseLock, seen.ErrLocked), 75},
		{"75/the account was lost",
			in(fetch.PhaseDeliver, fmt.Errorf("%w: %w", seen.ErrLost, deliver.ErrMissing)), 75},
		{"75/name server is silent", in(fetch.PhaseOpen, wrapped(&net.DNSError{IsTimeout: true})), 75},
		{"75/timed out", in(fetch.PhaseRetrieve, wrapped(os.ErrDeadlineExceeded)), 75},
		{"75/a proxy does not reach the server", in(fetch.PhaseOpen, wrapped(tunnel.ErrUnreached)), 75},
		{"76/a proxy breaks its protocol", in(fetch.PhaseOpen, wrapped(tunnel.ErrBroken)), 76},
		{"77/a proxy refuses", in(fetch.PhaseOpen, wrapped(tunnel.ErrRefused)), 77},
		{"75/broke off", in(fetch.PhaseRetrieve, wrapped(syscall.ECONNRESET)), 75},
		{"75/deadline while delivering", in(fetch.PhaseDeliver, context.DeadlineExceeded), 75},
		{"75/SYS-TEMP for a listing", in(fetch.PhaseList, refused(pop3.CodeSysTemp)), 75},
		{"75/unique-ids are refused, and were told before", in(fetch.PhaseList, fmt.Errorf("%w: %w", fetch.ErrNoIDsNow, refused(""))), 75},
		{"75/QUIT refused", in(fetch.PhaseQuit, refused("")), 75},
		{"76/out of step", in(fetch.PhaseList, wrapped(&pop3.ProtocolError{Got: "HTTP"})), 76},
		{"77/refused", failing(login.Refused), 77},
		{"77/nothing in common", failing(login.Cannot), 77},
		{"77/STLS is not offered", in(fetch.PhaseOpen, wrapped(pop3.ErrInsecure)), 77},
		{"77/no agreement on TLS", in(fetch.PhaseOpen, wrapped(pop3.ErrHandshake)), 77},
		{"77/client certificate refused", in(fetch.PhaseOpen, wrapped(alert(t))), 77},
		{"77/client certificate refused at the log-in", in(fetch.PhaseLogin, wrapped(alert(t))), 77},
		{"75/an alert in mid-session", in(fetch.PhaseRetrieve, wrapped(alert(t))), 75},
		{"77/AUTH of a listing", in(fetch.PhaseRetrieve, refused(pop3.CodeAuth)), 77},
		{"75/R2449-6 in-use greeting", in(fetch.PhaseOpen, refused(pop3.CodeInUse)), 75},
		{"75/R2449-6 login-delay greeting", in(fetch.PhaseOpen, refused(pop3.CodeLoginDelay)), 75},
		{"75/R3206-1 sys-temp greeting", in(fetch.PhaseOpen, refused(pop3.CodeSysTemp)), 75},
		{"69/R3206-1 sys-perm greeting", in(fetch.PhaseOpen, refused(pop3.CodeSysPerm)), 69},
		{"77/R3206-1 auth greeting", in(fetch.PhaseOpen, refused(pop3.CodeAuth)), 77},
		{"75/the provider is down", in(fetch.PhaseLogin, &login.Error{Fault: login.Cannot, Err: wrapped(&oauth.Error{Fault: oauth.Later, Err: errors.New("no")})}), 75},
		{"77/nobody is signed in", wrapped(&oauth.Error{Fault: oauth.Refused, Err: errors.New("no")}), 77},
		{"76/the provider answers nonsense", wrapped(&oauth.Error{Fault: oauth.Broken, Err: errors.New("no")}), 76},
		{"74/the tokens cannot be kept", wrapped(&oauth.Error{Fault: oauth.State, Err: errors.New("no")}), 74},
		{"73/the folder of the tokens cannot be made", wrapped(&oauth.Error{Fault: oauth.Uncreated, Err: errors.New("no")}), 73},
		{"78/others can read the tokens", wrapped(&oauth.Error{Fault: oauth.Exposed, Err: errors.New("no")}), 78},
		{"75/the target's server is away", in(fetch.PhaseTarget, wrapped(deliver.ErrUnreachable)), 75},
		{"75/it breaks off", in(fetch.PhaseDeliver, wrapped(deliver.ErrUnreachable)), 75},
		{"76/it breaks the protocol", in(fetch.PhaseDeliver, wrapped(deliver.ErrProtocol)), 76},
		{"77/it refuses the log-in", in(fetch.PhaseTarget, wrapped(deliver.ErrLogin)), 77},
		{"77/its certificate is refused", in(fetch.PhaseTarget, wrapped(deliver.ErrUntrusted)), 77},
		{"75/the command for its password hangs", in(fetch.PhaseTarget, fmt.Errorf("%w: %w", deliver.ErrLogin, &config.SecretError{Temporary: true, Err: errors.New("no")})), 75},
		{"77/the command for its password prints nothing", in(fetch.PhaseTarget, fmt.Errorf("%w: %w", deliver.ErrLogin, &config.SecretError{Err: errors.New("no")})), 77},
		{"75/the provider of its tokens is down", in(fetch.PhaseTarget, fmt.Errorf("%w: %w", deliver.ErrLogin, &oauth.Error{Fault: oauth.Later, Err: errors.New("no")})), 75},
		{"75/too early", failing(login.Held), 75},
		{"77/left alone", in(fetch.PhaseLogin, &login.Error{Fault: login.Refused, Until: time.Now(), Err: errors.New("refused 3 times")}), 77},
		{"77/refused, and not noted", in(fetch.PhaseLogin, fmt.Errorf("%w; %w", &login.Error{Fault: login.Refused, Err: refused("")}, syscall.EROFS)), 77},
		{"78", wrapped(config.Errors{{Err: errors.New("wrong")}}), 78},
		{"130", errors.Join(in(fetch.PhaseRetrieve, context.Canceled), signalError{syscall.SIGINT}), 130},
		{"143 before faults", errors.Join(&runError{[]int{77}}, signalError{syscall.SIGTERM}), 143},
		{"a resident program that a signal has ended", errEnded, 0},
		{"and whose standard output is closed", withStatus(errEnded, 74), 74},
		{"nothing new, and standard output is closed", withStatus(errEmpty, 74), 74},
		{"of several accounts", &runError{[]int{75, 69, 76, 68}}, 76},
		{"of several accounts with standard output closed", errors.Join(&runError{[]int{75}}, wrapped(syscall.EPIPE)), 75},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := exitStatus(test.err); got != test.want {
				t.Errorf("exitStatus(%v) = %d, want %d", test.err, got, test.want)
			}
		})
	}
}

// TestUrgency checks the order that popfetch(1) promises.
func TestUrgency(t *testing.T) {
	order := []int{78, 77, 73, 74, 70, 76, 69, 68, 75}
	for i, first := range order {
		for _, second := range order[i:] {
			if got := (&runError{[]int{second, first, second}}).status(); got != first {
				t.Errorf("status of %d and %d = %d, want %d", second, first, got, first)
			}
		}
	}
}

func TestResultStatuses(t *testing.T) {
	r := fetch.Result{Failed: 1, Unusable: 2, Err: &fetch.Error{Phase: fetch.PhaseDeliver, Err: syscall.ENOSPC}}
	got := exitStatus(&runError{resultStatuses(r)})
	if got != exitIO {
		t.Errorf("status of a full disk, a refused and an unusable message = %d, want %d", got, exitIO)
	}
	if got := resultStatuses(fetch.Result{Listed: 3, New: 3, Delivered: 3}); len(got) != 0 {
		t.Errorf("statuses of a good run = %d, want none", got)
	}
}

func TestMend(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("TLS handshake: %w", tls.RecordHeaderError{Msg: "no TLS"}), "--tls starttls"},
		{fmt.Errorf("TLS handshake: %w", alert(t)), ""}, // the server refuses our certificate
		{fmt.Errorf("TLS handshake: %w: %w", pop3.ErrHandshake, alert(t)), ""},
		{fmt.Errorf("TLS handshake: %w: %w", pop3.ErrHandshake, errors.New("version 302")), "TLS 1.2"},
		{syscall.ECONNREFUSED, ""},
	} {
		if got := new(setting).mend(test.err); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("mend(%v) = %q, want something with %q", test.err, got, test.want)
		}
	}
}

// alert returns the error of a client without certificate, from a server that wants one.
func alert(t *testing.T) error {
	t.Helper()
	ca := poptest.NewCA(t)
	there := ca.ServerTLS(poptest.Valid)
	there.ClientAuth = tls.RequireAnyClientCert
	here, other := net.Pipe()
	server := tls.Server(other, there)
	go server.Handshake() //nolint:errcheck // it is meant to fail
	client := tls.Client(here, ca.ClientTLS("localhost"))
	t.Cleanup(func() { here.Close(); other.Close() })
	_, err := client.Read(make([]byte, 1))
	if err == nil {
		t.Fatal("the server took a client without a certificate")
	}
	return err
}
