package fetch_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/poptest"
)

// TestCut ends a small session after each octet that the server sends (C0006, behaviour 15). Then
// each file in new/ is complete, and each record has its file in new/. The next run brings the
// missing messages, each once.
func TestCut(t *testing.T) {
	t.Parallel()
	t.Run("C0006/at each octet", func(t *testing.T) { cutEverywhere(t, fetch.DeletePolicy{Enabled: true}, 1) })
	t.Run("C0006/kept, at each seventh", func(t *testing.T) { cutEverywhere(t, fetch.DeletePolicy{}, 7) })
}

func cutEverywhere(t *testing.T, policy fetch.DeletePolicy, step int64) {
	t.Parallel()
	server := newServer(t)
	server.Configure(func(c *poptest.Config) { c.Capabilities, c.Greeting = []string{"USER"}, "hi" })
	r := newRig(t, server.Addr())
	r.runner.Observe = nil
	atRetr := 0
	for at := int64(0); ; at += step {
		// Each cut has an account, a Maildir and messages of its own; store and server are shared.
		r.account.Name = fmt.Sprintf("cut:%d", at) // as if made of options, so that no other account counts
		r.account.Delete = policy
		r.maildir = filepath.Join(r.state, r.account.Name)
		r.account.Target = deliver.NewMaildir(r.maildir)
		first := poptest.Message{UniqueID: fmt.Sprintf("a%d", at), Content: []byte("Subject: a\r\n\r\n..\r\n.x\r\n")}
		second := poptest.Message{UniqueID: fmt.Sprintf("b%d", at), Content: []byte("Subject: b\r\n\r\nno line end")}
		server.Drop("").Remove(server.Drop("").UniqueIDs()...)
		server.Drop("").Add(first, second)

		server.CutAfter(at)
		cut := r.run()
		whole := cut.Err == nil
		if got, had := r.recorded(), len(r.mail()); len(got) != had || cut.Delivered != had {
			t.Errorf("cut at octet %d: %d files, %d told as delivered, records of %q", at, had, cut.Delivered, got)
		}
		if n := len(r.mail()); n > 0 && !whole {
			atRetr++
		}
		if result := r.run(); result.Err != nil {
			t.Errorf("cut at octet %d: the next run = %v, want no error", at, result.Err)
		}
		want := []string{delivered(first.Content), delivered(second.Content)}
		if got := r.mail(); !slices.Equal(got, want) {
			t.Errorf("cut at octet %d: then new/ holds %q, want %q", at, got, want)
		}
		if left := server.Drop("").UniqueIDs(); policy.Enabled && len(left) > 0 || !policy.Enabled && len(left) != 2 {
			t.Errorf("cut at octet %d: then the maildrop holds %q", at, left)
		}
		if whole || t.Failed() {
			break
		}
	}
	if atRetr == 0 {
		t.Error("no cut fell between the first delivery and the end of the session")
	}
	server.CheckRules(t)
}
