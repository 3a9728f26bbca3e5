package kerberos

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Ticket is a ticket of a user for a service.
type Ticket struct {
	client principal
	ticket messages.Ticket
	key    types.EncryptionKey // of the session between both
	id     string
}

// ID returns a text that stays the same until kinit gets a new ticket. It has no secret.
func (t *Ticket) ID() string { return t.id }

// Client returns the name of the ticket's owner, to be shown.
func (t *Ticket) Client() string { return t.client.String() }

// Service returns the name of the service, to be shown.
func (t *Ticket) Service() string { return principal{t.ticket.SName, t.ticket.Realm}.String() }

// longestExchange limits the time for all KDCs together. The mail server waits meanwhile, and many
// give up after a minute.
var longestExchange = 20 * time.Second

// Ticket returns a ticket for a service on a host, such as pop. If the cache has none, the KDC is
// asked for one. The cache is never written to. An error is an *Error, unless ctx ended.
func (p Places) Ticket(ctx context.Context, service, host string) (*Ticket, error) {
	s, c, err := p.open()
	if err != nil {
		return nil, &Error{Err: err}
	}
	host = canonical(host)
	t, err := s.ticket(ctx, c, nameOf(service, host), host)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return t, err
}

// TicketID returns the ID of the ticket that Ticket would return, or "" if there is none. No KDC is
// asked.
func (p Places) TicketID(service, host string) string {
	_, c, err := p.open()
	if err != nil {
		return ""
	}
	cred, err := c.begin(nameOf(service, canonical(host)), time.Now())
	if err != nil {
		return ""
	}
	return c.id(cred)
}

// open reads krb5.conf and the cache.
func (p Places) open() (*settings, *cache, error) {
	s, err := p.settings()
	if err != nil {
		return nil, nil, err
	}
	path, err := p.path(s)
	if err != nil {
		return nil, nil, err
	}
	c, err := readCache(path)
	return s, c, err
}

func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

func nameOf(parts ...string) types.PrincipalName {
	return types.PrincipalName{NameType: nametype.KRB_NT_SRV_HST, NameString: parts}
}

// ticketGranting returns the name of the service that gives tickets of a realm.
func ticketGranting(realm string) types.PrincipalName {
	return types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", realm}}
}

func (s *settings) ticket(ctx context.Context, c *cache, service types.PrincipalName, host string) (*Ticket, error) {
	cred, err := c.begin(service, time.Now())
	if err != nil {
		return nil, &Error{Err: err}
	}
	ticket, err := ticketOf(cred)
	if err != nil {
		return nil, &Error{Err: err}
	}
	t := &Ticket{client: c.client, ticket: ticket, key: cred.key, id: c.id(cred)}
	if cred.server.name.Equal(service) {
		return t, nil
	}
	ctx, cancel := context.WithTimeout(ctx, longestExchange)
	defer cancel()
	realm := s.realm(host)
	// Without a known realm, the KDC may say which one the host is in (RFC 6806 section 8).
	s.conf.LibDefaults.Canonicalize = realm == "" || s.conf.LibDefaults.Canonicalize
	t, err = s.exchange(ctx, t, service, cmp.Or(realm, c.client.realm))
	if err != nil {
		return nil, err
	}
	t.id = c.id(cred)
	return t, nil
}

// begin returns the ticket in the cache that leads to one for the service: that ticket itself, or else
// the one that the KDC exchanges.
func (c *cache) begin(service types.PrincipalName, now time.Time) (credential, error) {
	if cred, ok := c.find(service, func(cred credential) bool {
		return !now.Before(cred.begin) && now.Before(cred.end) && usable(cred.key)
	}); ok {
		return cred, nil
	}
	// There may be more than one. If none can be used, the longest one tells why.
	name := ticketGranting(c.client.realm)
	own := func(cred credential) bool { return cred.server.realm == c.client.realm }
	if cred, ok := c.find(name, func(cred credential) bool {
		return own(cred) && now.Before(cred.end) && known(cred.key)
	}); ok {
		return cred, nil
	}
	cred, ok := c.find(name, own)
	switch {
	case !ok:
		return cred, fmt.Errorf("the cache has no ticket of %v; "+mend, c.client)
	case !now.Before(cred.end):
		return cred, fmt.Errorf("the ticket of %v expired on %s; "+mend, c.client, cred.end.Format("2006-01-02 at 15:04"))
	}
	return cred, fmt.Errorf("the ticket of %v has encryption of kind %d, which popfetch lacks; allow AES in krb5.conf, and run kinit",
		c.client, cred.key.KeyType)
}

// id names a ticket by the time when its owner proved himself to the KDC. A ticket that is renewed, or
// exchanged for another one, keeps that time.
func (c *cache) id(cred credential) string {
	return fmt.Sprintf("%v %v %d", c.client, cred.server, cred.authenticated.Unix())
}

// mostRealms limits how many KDCs are asked for one ticket.
const mostRealms = 10

// exchange returns a ticket for the service in a realm. On the way there, each KDC gives a ticket for
// the KDC of another realm that is nearer. The last one may still refer to another realm.
func (s *settings) exchange(ctx context.Context, t *Ticket, service types.PrincipalName, realm string) (*Ticket, error) {
	at := t.client.realm
	been := map[string]bool{}
	for len(been) < mostRealms {
		been[at] = true
		name := service
		if at != realm {
			name = ticketGranting(realm)
		}
		var err error
		if t, err = s.ask(ctx, t, name, at); err != nil {
			return nil, err
		}
		next := referral(t.ticket.SName)
		switch {
		case next == "" && at == realm && usable(t.key):
			return t, nil
		case been[next]:
			return nil, &Error{Err: fmt.Errorf("the KDC of %s refers back to realm %s", show(at), show(next))}
		case next == "" || !known(t.key):
			return nil, &Error{Err: fmt.Errorf("the KDC of %s gives no ticket with AES for %v", show(at), principal{service, realm})}
		case at == realm:
			realm = next
		}
		at = next
	}
	return nil, &Error{Err: fmt.Errorf("the way to %v leads through more than %d realms", principal{service, realm}, mostRealms)}
}

// referral returns the realm of the KDC whose name this is; "": it is another service.
func referral(name types.PrincipalName) string {
	if parts := name.NameString; len(parts) == 2 && parts[0] == "krbtgt" {
		return parts[1]
	}
	return ""
}
