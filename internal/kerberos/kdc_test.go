package kerberos

import (
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/popfetch/popfetch/internal/poptest"
)

func usableNow(cred credential) bool { return usable(cred.key) }

// asked returns a request for pop/localhost by the ticket in a cache.
func asked(t testing.TB, cache []byte) (*settings, *Ticket, messages.TGSReq) {
	t.Helper()
	c, err := parseCache(cache)
	if err != nil {
		t.Fatal(err)
	}
	service := nameOf("pop", "localhost")
	cred, _ := c.find(service, usableNow)
	ticket, err := ticketOf(cred)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Places{Config: "/nonexistent"}.settings()
	if err != nil {
		t.Fatal(err)
	}
	own := &Ticket{client: c.client, ticket: ticket, key: cred.key}
	request, err := messages.NewTGSReq(own.client.name, poptest.Realm, s.conf, own.ticket, own.key, service, false)
	if err != nil {
		t.Fatal(err)
	}
	return s, own, request
}

// replied returns a KDC's reply whose encrypted part is plain. The rest of it may be changed.
func replied(t testing.TB, own *Ticket, plain []byte, change func(*messages.TGSRep)) []byte {
	t.Helper()
	part, err := crypto.GetEncryptedData(plain, own.key, keyusage.TGS_REP_ENCPART_SESSION_KEY, 1)
	if err != nil {
		t.Fatal(err)
	}
	reply := messages.TGSRep{KDCRepFields: messages.KDCRepFields{PVNO: 5, MsgType: 13, CRealm: poptest.Realm,
		CName: own.client.name, Ticket: own.ticket, EncPart: part}}
	if change != nil {
		change(&reply)
	}
	octets, err := reply.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

// rightPart returns the encrypted part of a right reply.
func rightPart(own *Ticket, request messages.TGSReq) messages.EncKDCRepPart {
	now := time.Now().UTC()
	return messages.EncKDCRepPart{Key: own.key, LastReqs: []messages.LastReq{{LRValue: now}}, Nonce: request.ReqBody.Nonce,
		Flags: types.NewKrbFlags(), AuthTime: now, StartTime: now, EndTime: now, SRealm: poptest.Realm, SName: request.ReqBody.SName}
}

// A reply is believed only if it answers this request and was made by the KDC.
func TestSettings_read(t *testing.T) {
	t.Parallel()
	s, own, request := asked(t, cached(t))
	evil := types.NewPrincipalName(2, "krbtgt/EVIL.EXAMPLE")
	for _, test := range []struct {
		name  string
		part  func(*messages.EncKDCRepPart)
		reply func(*messages.TGSRep)
		key   []byte // nil: that of the ticket
		says  string // "": it is believed
	}{
		{name: "right"},
		{name: "other request", part: func(p *messages.EncKDCRepPart) { p.Nonce++ }, says: "nonce"},
		{name: "other realm", part: func(p *messages.EncKDCRepPart) { p.SRealm = "X" }, says: "SRealm"},
		{name: "other time", part: func(p *messages.EncKDCRepPart) {
			p.StartTime = p.StartTime.Add(-time.Hour)
			p.AuthTime = p.StartTime
		}, says: "clock"},
		{name: "other key", key: make([]byte, 32), says: "decrypt"},
		{name: "other service", part: func(p *messages.EncKDCRepPart) { p.SName.NameString = []string{"http", "elsewhere"} },
			reply: func(r *messages.TGSRep) { r.Ticket.SName.NameString = []string{"http", "elsewhere"} }, says: "service http/elsewhere"},
		{name: "ticket of another name", reply: func(r *messages.TGSRep) { r.Ticket.SName = evil }, says: "another name"},
		{name: "referral", part: func(p *messages.EncKDCRepPart) { p.SName = evil }, reply: func(r *messages.TGSRep) { r.Ticket.SName = evil }},
		{name: "other client", reply: func(r *messages.TGSRep) { r.CName.NameString = []string{"alice"} }, says: "CName"},
		{name: "client of another realm", reply: func(r *messages.TGSRep) { r.CRealm = "X" }, says: "another user"},
	} {
		part := rightPart(own, request)
		if test.part != nil {
			test.part(&part)
		}
		plain, err := part.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		by := *own
		if test.key != nil {
			by.key.KeyValue = test.key
		}
		_, err = s.read(replied(t, &by, plain, test.reply), own, request)
		if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: read() = %v, want %q", test.name, err, test.says)
		}
	}
}
