package pop3_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/mail"
	"os"
	"slices"

	"github.com/emersion/go-sasl"

	"github.com/popfetch/popfetch/pop3"
)

// exampleServer answers clients on loopback, one after the other, each by one of the sessions. It
// sends the first reply of a session at once, and each further reply after a command.
func exampleServer(sessions ...[]string) (addr string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		defer listener.Close()
		for _, replies := range sessions {
			if conn, err := listener.Accept(); err == nil {
				answer(conn, replies)
			}
		}
	}()
	return listener.Addr().String()
}

func answer(conn net.Conn, replies []string) {
	defer conn.Close()
	commands := bufio.NewScanner(conn)
	for _, reply := range replies {
		fmt.Fprintf(conn, "%s\r\n", reply)
		commands.Scan()
	}
}

// A program that fetches everything. It asks for all messages at once if the server pipelines. It
// deletes only the messages that have come whole, after all have been read.
func Example() {
	addr := exampleServer([]string{
		"+OK ready", "+OK\r\nPIPELINING\r\nUIDL\r\n.", "+OK", "+OK welcome", "+OK 2 18",
		"+OK\r\n1 8\r\n2 10\r\n.", "+OK\r\n1 a\r\n2 b\r\n.", "+OK\r\nfirst\r\n.",
		"+OK\r\nsecond\r\n..\r\n.", "+OK", "+OK", "+OK bye",
	})

	ctx := context.Background()
	// Without TLSNone, Dial would put TLS on the connection and check the server's certificate.
	c, err := pop3.Dial(ctx, addr, &pop3.Options{TLS: pop3.TLSNone})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Capa(ctx); err != nil {
		log.Print(err) // an old server has no CAPA; then nothing is pipelined
	}
	if err := c.User(ctx, "alice", "secret"); err != nil {
		log.Fatal(err)
	}
	listings, err := c.Listings(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var safe []int
	for m, err := range c.Retr(ctx, listings.Messages()) {
		if err != nil {
			log.Print(err)
			continue // the message was refused, or this is the last turn of the loop
		}
		octets, err := io.Copy(io.Discard, m) // a real program stores the message
		if err != nil {
			log.Print(err) // the message is not complete
			continue
		}
		fmt.Printf("message %d: %d octets\n", m.Number, octets)
		safe = append(safe, m.Number)
	}
	for n, err := range c.Dele(ctx, slices.Values(safe)) {
		if err != nil {
			log.Printf("message %d: %v", n, err)
		}
	}
	if err := c.Quit(ctx); err != nil {
		log.Fatal(err) // the next session shows whether anything was deleted
	}
	// Output:
	// message 1: 7 octets
	// message 2: 11 octets
}

// The lines of the package's documentation: they list a maildrop and save its messages.
func Example_save() {
	defer inTempDir()()
	addr := exampleServer([]string{
		"+OK ready", "+OK", "+OK welcome", "+OK 2 18", "+OK\r\n1 7\r\n2 11\r\n.", "+OK\r\n1 a\r\n2 b\r\n.",
		"+OK\r\nfirst\r\n.", "+OK\r\nsecond\r\n..\r\n.", "+OK bye",
	})
	ctx := context.Background()
	clear := &pop3.Options{TLS: pop3.TLSNone} // only because the example's server has no certificate
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}

	c, err := pop3.Dial(ctx, addr, clear)
	check(err)
	check(c.User(ctx, "alice", "secret"))
	listings, err := c.Listings(ctx)
	check(err)
	for l := range listings.All() {
		fmt.Println(l.Number, l.Octets, l.UniqueID)
	}
	for m, err := range c.Retr(ctx, listings.Messages()) {
		check(err)
		text, err := io.ReadAll(m)
		check(err)
		check(os.WriteFile(fmt.Sprint(m.Number, ".eml"), text, 0o600))
	}
	check(c.Quit(ctx))

	for _, name := range []string{"1.eml", "2.eml"} {
		text, err := os.ReadFile(name)
		fmt.Printf("%s: %q, %v\n", name, text, err)
	}
	// Output:
	// 1 7 a
	// 2 11 b
	// 1.eml: "first\r\n", <nil>
	// 2.eml: "second\r\n.\r\n", <nil>
}

// List a maildrop with the subject of each message: TOP retrieves the header alone.
func Example_list() {
	addr := exampleServer([]string{
		"+OK ready", "+OK", "+OK welcome", "+OK 2 300", "+OK\r\n1 100\r\n2 200\r\n.", "+OK\r\n1 a\r\n2 b\r\n.",
		"+OK\r\nSubject: one\r\n\r\n.", "+OK\r\nSubject: two\r\n\r\n.", "+OK bye",
	})
	ctx := context.Background()
	clear := &pop3.Options{TLS: pop3.TLSNone} // only because the example's server has no certificate
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}

	c, err := pop3.Dial(ctx, addr, clear)
	check(err)
	check(c.User(ctx, "alice", "secret"))
	listings, err := c.Listings(ctx)
	check(err)
	subjects := make(map[int]string)
	for m, err := range c.Top(ctx, listings.Numbers(), 0) {
		check(err)
		header, err := mail.ReadMessage(m)
		check(err)
		subjects[m.Number] = header.Header.Get("Subject")
	}
	for l := range listings.All() {
		fmt.Println(l.Number, l.Octets, l.UniqueID, subjects[l.Number])
	}
	check(c.Quit(ctx))
	// Output:
	// 1 100 a one
	// 2 200 b two
}

// Delete what is stored safely: DELE only marks a message, and the server deletes it when it
// answers QUIT. If the session ends in any other way, nothing is deleted.
func Example_delete() {
	addr := exampleServer([]string{
		"+OK ready", "+OK", "+OK welcome", "+OK 2 18", "+OK\r\n1 7\r\n2 11\r\n.",
		"+OK\r\n1 a\r\n2 b\r\n.", "+OK\r\nfirst\r\n.", "-ERR [SYS/TEMP] try later", "+OK", "+OK bye",
	})
	ctx := context.Background()
	clear := &pop3.Options{TLS: pop3.TLSNone} // only because the example's server has no certificate
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	store := func(m *pop3.Message) error { // a real program stores the message, and calls Sync
		_, err := io.Copy(io.Discard, m)
		return err
	}

	c, err := pop3.Dial(ctx, addr, clear)
	check(err)
	check(c.User(ctx, "alice", "secret"))
	listings, err := c.Listings(ctx)
	check(err)
	var stored []int
	for m, err := range c.Retr(ctx, listings.Messages()) {
		if err == nil {
			err = store(m) // nil only if the message came whole
		}
		if err != nil {
			fmt.Printf("message %d stays: %v\n", m.Number, err)
			continue
		}
		stored = append(stored, m.Number)
	}
	for number, err := range c.Dele(ctx, slices.Values(stored)) {
		fmt.Printf("message %d: %v\n", number, err)
	}
	check(c.Quit(ctx)) // nil: the server has deleted them
	// Output:
	// message 2 stays: server refused RETR: [SYS/TEMP] try later
	// message 1: <nil>
}

// Watch a maildrop: a listing never changes within a session, so each look is a session of its own.
// Unique-ids stay the same from session to session.
func Example_watch() {
	first := []string{
		"+OK ready", "+OK", "+OK", "+OK 1 7", "+OK\r\n1 7\r\n.", "+OK\r\n1 a\r\n.", "+OK bye",
	}
	second := []string{
		"+OK ready", "+OK", "+OK", "+OK 2 18", "+OK\r\n1 7\r\n2 11\r\n.", "+OK\r\n1 a\r\n2 b\r\n.", "+OK bye",
	}
	addr := exampleServer(first, second)
	ctx := context.Background()
	clear := &pop3.Options{TLS: pop3.TLSNone} // only because the example's server has no certificate
	known := make(map[string]bool)

	look := func() error {
		c, err := pop3.Dial(ctx, addr, clear)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.User(ctx, "alice", "secret"); err != nil {
			return err
		}
		listings, err := c.Listings(ctx)
		if err != nil {
			return err
		}
		for l := range listings.All() {
			if !known[l.UniqueID] {
				fmt.Println("new:", l.UniqueID, l.Octets)
			}
			known[l.UniqueID] = true
		}
		return c.Quit(ctx)
	}
	for range 2 { // a real program waits some minutes between two looks; see LOGIN-DELAY of Capa
		if err := look(); err != nil {
			log.Print(err) // a later look may work again
		}
	}
	// Output:
	// new: a 7
	// new: b 11
}

// inTempDir makes a new folder the present one, until back is called.
func inTempDir() (back func()) {
	before, err := os.Getwd()
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "pop3-example-")
	if err == nil {
		err = os.Chdir(dir)
	}
	if err != nil {
		log.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.Chdir(before), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// Retr pipelines. It sends as many RETR commands ahead as the window allows, and yields the
// messages in order.
func ExampleClient_Retr() {
	addr := exampleServer([]string{
		"+OK ready", "+OK\r\nPIPELINING\r\n.", "+OK", "+OK",
		"+OK\r\nSubject: one\r\n.", "-ERR [SYS/TEMP] try later", "+OK\r\nSubject: three\r\n.", "+OK bye"})

	ctx := context.Background()
	c, err := pop3.Dial(ctx, addr, &pop3.Options{TLS: pop3.TLSNone, Window: 50})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Capa(ctx); err != nil {
		log.Fatal(err)
	}
	if err := c.User(ctx, "alice", "secret"); err != nil {
		log.Fatal(err)
	}
	messages := func(yield func(number int, octets int64) bool) {
		for n := 1; n <= 3 && yield(n, 1000); n++ {
		}
	}
	for m, err := range c.Retr(ctx, messages) {
		if err != nil {
			fmt.Printf("%d: %v\n", m.Number, err)
			continue
		}
		body, err := io.ReadAll(m)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %q\n", m.Number, body)
	}
	if err := c.Quit(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1: "Subject: one\r\n"
	// 2: server refused RETR: [SYS/TEMP] try later
	// 3: "Subject: three\r\n"
}

// Any mechanism of go-sasl is a SASLClient.
func ExampleClient_Auth() {
	addr := exampleServer([]string{"+OK ready", "+OK welcome", "+OK bye"})

	ctx := context.Background()
	c, err := pop3.Dial(ctx, addr, &pop3.Options{TLS: pop3.TLSNone})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(ctx, sasl.NewPlainClient("", "alice", "secret")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Quit(ctx))
	// Output: <nil>
}
