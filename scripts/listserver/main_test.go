package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestServe(t *testing.T) {
	d, err := newDrop(4, "2-3")
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	defer client.Close()
	if err := client.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go d.serve(server)
	in := bufio.NewReader(client)
	for _, step := range []struct{ command, want string }{
		{"", "+OK ready\r\n"},
		{"STAT\r\n", "+OK 2 142\r\n"},
		{"LIST\r\n", "+OK\r\n1 71\r\n2 71\r\n.\r\n"},
		{"UIDL\r\n", "+OK\r\n1 000000015f3a1c2b\r\n2 000000045f3a1c2b\r\n.\r\n"},
		{"UIDL 2\r\n", "+OK 2 000000045f3a1c2b\r\n"},
		{"LIST 3\r\n", "-ERR no such message\r\n"},
		{"RETR 1\r\n", "+OK\r\n" + body + ".\r\n"},
		{"TURN\r\n", "-ERR what?\r\n"},
		{"QUIT\r\n", "+OK\r\n"},
	} {
		if step.command != "" {
			if _, err := io.WriteString(client, step.command); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, len(step.want))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != step.want {
			t.Errorf("%s: %q, %v, want %q", strings.TrimSpace(step.command), got, err, step.want)
		}
	}
	if _, err := newDrop(1, "x"); err == nil {
		t.Error("newDrop() without numbers: no error")
	}
}
