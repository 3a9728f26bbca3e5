// Package tunnel connects to a server in another way than directly by TCP: by a program or by a proxy.
package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
	"github.com/popfetch/popfetch/internal/program"
)

const (
	// endTime is how long a program may take to end after its input has.
	endTime = 300 * time.Millisecond
	// maxSaid limits what is shown of a program's messages, in octets.
	maxSaid = 1 << 10
)

// Command returns a function that connects by a command of the shell. The command's standard streams
// are the connection: what the server sends is its output. It runs in a process group of its own.
// When the connection is closed, its input ends, and the group is ended if that is not enough.
func Command(command string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, addr string) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		return start(command, addr)
	}
}

// stream is a connection by a program. It is safe for concurrent use like other connections.
type stream struct {
	in, out *os.File // our ends of the program's pipes
	addr    address
	cmd     *exec.Cmd
	said    *program.Output

	closeIn, closeOut, end func() error // once each
}

func start(command, addr string) (net.Conn, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		_, _ = theirIn.Close(), in.Close()
		return nil, err
	}
	s := &stream{in: in, out: out, addr: address(addr), said: &program.Output{Limit: maxSaid}}
	s.cmd, err = program.Start(command, func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, s.said
	})
	_, _ = theirIn.Close(), theirOut.Close() // the program has its own
	if err != nil {
		_, _ = in.Close(), out.Close()
		return nil, fmt.Errorf("starting %q: %w", command, err)
	}
	s.closeIn = sync.OnceValue(in.Close)
	s.closeOut = sync.OnceValue(out.Close)
	s.end = sync.OnceValue(s.wait)
	return s, nil
}

// wait ends the program, whose input has ended, and tells how it ended.
func (s *stream) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	state, interrupted := program.Wait(ctx, s.cmd)
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM) // what the program has left behind
	if state == nil {
		return errors.New("the command does not end")
	}
	how := state.String()
	if interrupted != nil {
		how = "not by itself"
	}
	if said := bytes.TrimSpace(s.said.Kept); len(said) > 0 {
		return fmt.Errorf("the command ended: %s; it said %q", how, escape.Lines(said, maxSaid))
	}
	return fmt.Errorf("the command ended: %s", how)
}

// Read reads what the server sends. At the end of the stream, the error says how the program ended.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.out.Read(p)
	if errors.Is(err, io.EOF) {
		_ = s.closeIn() // a program may wait for that
		err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, s.end())
	}
	return n, s.explain("read", err)
}

// Write writes what the server is to get. If the program does not read any more, the error says how
// it ended.
func (s *stream) Write(p []byte) (int, error) {
	n, err := s.in.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		_ = s.closeIn()
		err = fmt.Errorf("%w: %w", syscall.EPIPE, s.end())
	}
	return n, s.explain("write", err)
}

// explain returns an error as other connections have it. TLS goes on after a deadline only if it has
// this type.
func (s *stream) explain(op string, err error) error {
	if err == nil {
		return nil
	}
	var file *fs.PathError
	if errors.As(err, &file) {
		err = file.Err
	}
	return &net.OpError{Op: op, Net: s.addr.Network(), Err: err}
}

// Close ends the program. Its error is that of the pipes, not of the program.
func (s *stream) Close() error {
	err := errors.Join(s.closeIn(), s.closeOut())
	_ = s.end()
	return err
}

func (s *stream) SetDeadline(t time.Time) error {
	if err := s.in.SetWriteDeadline(t); err != nil {
		return err
	}
	return s.out.SetReadDeadline(t)
}

func (s *stream) SetReadDeadline(t time.Time) error  { return s.out.SetReadDeadline(t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.in.SetWriteDeadline(t) }
func (s *stream) LocalAddr() net.Addr                { return s.addr }
func (s *stream) RemoteAddr() net.Addr               { return s.addr }

// address is the address of a server that a program connects to.
type address string

func (address) Network() string  { return "command" }
func (a address) String() string { return string(a) + " by connect_command" }
