// Command listserver is a POP3 server for the benchmark. It has a maildrop of any size in memory.
// It makes its listings once and sends them as they are. So a benchmark measures only the client's
// work.
//
//	listserver -listen 127.0.0.1:0 -count 200000 [-without 100000-100999]
//
// It prints the address that it listens on. It accepts every log-in. It ends when its standard
// input ends. Message n has the unique-id "0000000n5f3a1c2b", with n in hexadecimal. The messages
// of -without are not in the maildrop, and the others keep their unique-ids.
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
	address := flag.String("listen", "127.0.0.1:0", "the `address` to listen on")
	count := flag.Int("count", 10000, "the number of `messages`")
	without := flag.String("without", "", "the `numbers` a-b of the messages to leave out")
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

// drop has the replies of a maildrop.
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

// serve answers the commands of one client. If several commands arrive together, their replies are
// sent together.
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

// one returns the reply to a listing of one message.
func one(whole []byte, number string) []byte {
	if _, err := strconv.Atoi(number); err == nil {
		if _, rest, found := bytes.Cut(whole, []byte("\n"+number+" ")); found {
			line, _, _ := bytes.Cut(rest, []byte("\n"))
			return fmt.Appendf(nil, "+OK %s %s\n", number, line)
		}
	}
	return []byte("-ERR no such message\r\n")
}
