// Package tunnel connects to a server in another way than by TCP.
package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
	"github.com/popfetch/popfetch/internal/program"
)

const (
	// endTime is how long a program may take to end after its input has.
	endTime = time.Second
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
	end     func() error // waits for the program; once
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
	s.end = sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), endTime)
		defer cancel()
		state, interrupted := program.Wait(ctx, s.cmd)
		if interrupted != nil || state == nil {
			return errors.New("the command did not end by itself")
		}
		if said := bytes.TrimSpace(s.said.Kept); len(said) > 0 {
			return fmt.Errorf("the command ended: %v; it said %q", state, escape.Lines(said, maxSaid))
		}
		return fmt.Errorf("the command ended: %v", state)
	})
	return s, nil
}

// Read reads what the server sends. At the end of the stream, the error says how the program ended.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.out.Read(p)
	if errors.Is(err, io.EOF) {
		err = &net.OpError{Op: "read", Net: s.addr.Network(), Err: fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, s.end())}
	}
	return n, err
}

func (s *stream) Write(p []byte) (int, error) { return s.in.Write(p) }

// Close ends the program. Its error is that of the pipes, not of the program.
func (s *stream) Close() error {
	err := s.in.Close()
	_ = s.end()
	if outErr := s.out.Close(); err == nil {
		err = outErr
	}
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
