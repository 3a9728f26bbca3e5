// Command delayline is a proxy on loopback between a client and a server. It delays the octets in
// each direction, as a long line does. It does not limit the throughput: it keeps up to 64 MiB of
// data on its way in each direction.
//
//	delayline -listen 127.0.0.1:0 -to 127.0.0.1:110 -delay 25ms
//
// It prints the address that it listens on. It ends when its standard input ends.
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
	address := flag.String("listen", "127.0.0.1:0", "the `address` to listen on")
	to := flag.String("to", "", "the server's `address`")
	delay := flag.Duration("delay", 25*time.Millisecond, "the delay of each direction: half a round trip")
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

// serve accepts connections and opens one to the server for each.
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

// chunk has the octets of one read, and the time at which they are due at the other end.
type chunk struct {
	octets []byte
	due    time.Time
}

// carry copies src to dst. Each octet, and the end of src, arrives after the delay.
func carry(src, dst net.Conn, delay time.Duration) {
	line := make(chan chunk, 2048)
	go func() {
		defer close(line)
		for {
			buffer := make([]byte, 32<<10)
			n, err := src.Read(buffer)
			line <- chunk{octets: buffer[:n], due: time.Now().Add(delay)}
			// On a real line, an acknowledgement arrives after a round trip. The kernel might wait
			// longer.
			time.AfterFunc(2*delay, func() { acknowledge(src) })
			if err != nil {
				return
			}
		}
	}()
	for c := range line {
		time.Sleep(time.Until(c.due))
		// After an error the other chunks are read and dropped, so that the reader can end.
		_, _ = dst.Write(c.octets)
	}
	_ = dst.Close()
}
