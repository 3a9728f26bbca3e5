// Command listserver is a POP3 server for the benchmark: a maildrop of any size in memory, whose listings are made once
// and sent as they are. It costs a client nothing but the client's own work.
//
//	listserver -listen 127.0.0.1:0 -count 200000 [-without 100000-100999]
//
// It prints the address that it listens on, lets everybody in, and ends when its standard input does. Message n of all has the
// unique-id "0000000n5f3a1c2b" in hexadecimal; those of -without are not there.
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

const body = "From: sender@example.org\r\nSubject: one of many\r\n\r\nNothing to be said.\r\n"

func main() {
	address := flag.String("listen", "127.0.0.1:0", "its own `address`")
	count := flag.Int("count", 10000, "how many `messages` there are")
	without := flag.String("without", "", "the `numbers` a-b of those that are not")
	flag.Parse()
	if err := run(*address, *count, *without, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "listserver:", err)
		os.Exit(1)
	}
}

// run serves until stdin ends.
func run(address string, count int, without string, stdin io.Reader, stdout io.Writer) error {
	d, err := newDrop(count, without)
	if err != nil {
		return err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(context.Background(), "tcp", address)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	defer listener.Close()
	if _, err := fmt.Fprintln(stdout, listener.Addr()); err != nil {
		return fmt.Errorf("printing the address: %w", err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go d.serve(conn)
		}
	}()
	if _, err := io.Copy(io.Discard, stdin); err != nil {
		return fmt.Errorf("waiting for the end: %w", err)
	}
	return nil
}

// drop is a maildrop, as its replies.
type drop struct{ stat, list, uidl []byte }

func newDrop(count int, without string) (*drop, error) {
	from, to := 0, -1
	if without != "" {
		if _, err := fmt.Sscanf(without, "%d-%d", &from, &to); err != nil {
			return nil, fmt.Errorf("-without %s: %w", without, err)
		}
	}
	var list, uidl bytes.Buffer
	list.WriteString("+OK\r\n")
	uidl.WriteString("+OK\r\n")
	n := 0
	for i := 1; i <= count; i++ {
		if from <= i && i <= to {
			continue
		}
		n++
		fmt.Fprintf(&list, "%d %d\r\n", n, len(body))
		fmt.Fprintf(&uidl, "%d %08x5f3a1c2b\r\n", n, i)
	}
	list.WriteString(".\r\n")
	uidl.WriteString(".\r\n")
	return &drop{fmt.Appendf(nil, "+OK %d %d\r\n", n, n*len(body)), list.Bytes(), uidl.Bytes()}, nil
}

// serve answers the commands of one client, those that come in one packet in one packet.
func (d *drop) serve(conn net.Conn) {
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriterSize(conn, 64<<10)
	_, _ = out.WriteString("+OK ready\r\n")
	for {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := out.Write(d.reply(strings.ToUpper(strings.TrimSpace(line)))); err != nil {
			return
		}
		if strings.HasPrefix(strings.ToUpper(line), "QUIT") {
			_ = out.Flush()
			return
		}
	}
}

func (d *drop) reply(command string) []byte {
	keyword, argument, _ := strings.Cut(command, " ")
	switch keyword {
	case "CAPA":
		return []byte("+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\nRESP-CODES\r\n.\r\n")
	case "USER", "PASS", "NOOP", "RSET", "DELE", "QUIT":
		return []byte("+OK\r\n")
	case "STAT":
		return d.stat
	case "LIST", "UIDL":
		whole := d.list
		if keyword == "UIDL" {
			whole = d.uidl
		}
		if argument == "" {
			return whole
		}
		return one(whole, argument)
	case "RETR", "TOP":
		return []byte("+OK\r\n" + body + ".\r\n")
	}
	return []byte("-ERR what?\r\n")
}

// one returns the line of a listing for one message.
func one(whole []byte, number string) []byte {
	if _, err := strconv.Atoi(number); err == nil {
		if _, rest, found := bytes.Cut(whole, []byte("\n"+number+" ")); found {
			line, _, _ := bytes.Cut(rest, []byte("\n"))
			return fmt.Appendf(nil, "+OK %s %s\n", number, line)
		}
	}
	return []byte("-ERR no such message\r\n")
}
