// Command delayline stands between a client and a server on loopback and holds
// back what either says, as a long line does. It takes nothing from the
// throughput: what is on its way is kept, up to 64 MiB in each direction.
//
//	delayline -listen 127.0.0.1:0 -to 127.0.0.1:110 -delay 25ms
//
// It prints the address that it listens on, and ends when its standard input does.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

func main() {
	address := flag.String("listen", "127.0.0.1:0", "its own `address`")
	to := flag.String("to", "", "the server's `address`")
	delay := flag.Duration("delay", 25*time.Millisecond, "what each direction takes: half a round trip")
	flag.Parse()
	if err := run(*address, *to, *delay, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "delayline:", err)
		os.Exit(1)
	}
}

// run serves until stdin ends.
func run(address, to string, delay time.Duration, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer listener.Close()
	if _, err := fmt.Fprintln(stdout, listener.Addr()); err != nil {
		return fmt.Errorf("printing the address: %w", err)
	}
	go serve(ctx, listener, to, delay)
	if _, err := io.Copy(io.Discard, stdin); err != nil {
		return fmt.Errorf("waiting for the end: %w", err)
	}
	return nil
}

// serve joins each connection that comes in with one of its own to the server.
func serve(ctx context.Context, listener net.Listener, to string, delay time.Duration) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		var dialer net.Dialer
		server, err := dialer.DialContext(ctx, "tcp", to)
		if err != nil {
			fmt.Fprintln(os.Stderr, "delayline: reaching the server:", err)
			_ = client.Close()
			continue
		}
		go carry(client, server, delay)
		go carry(server, client, delay)
	}
}

// chunk is what was read at once, and when it is due at the other end.
type chunk struct {
	octets []byte
	due    time.Time
}

// carry takes what src says to dst, each octet delay later than it came, and the
// end of src as well.
func carry(src, dst net.Conn, delay time.Duration) {
	line := make(chan chunk, 2048)
	go func() {
		defer close(line)
		for {
			buffer := make([]byte, 32<<10)
			n, err := src.Read(buffer)
			line <- chunk{octets: buffer[:n], due: time.Now().Add(delay)}
			// The other side could not acknowledge it before, and the kernel might take longer.
			time.AfterFunc(2*delay, func() { acknowledge(src) })
			if err != nil {
				return
			}
		}
	}()
	for c := range line {
		time.Sleep(time.Until(c.due))
		// After an error here the rest is read and dropped: the line must drain.
		_, _ = dst.Write(c.octets)
	}
	_ = dst.Close()
}
