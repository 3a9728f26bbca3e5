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
}

// longestExchange limits the time for all KDCs together. The mail server waits meanwhile, and many
// give up after a minute.
const longestExchange = 20 * time.Second

// Ticket returns a ticket for a service on a host, such as pop. If the cache has none, the KDC is
// asked for one. The cache is never written to. An error is an *Error, unless ctx ended.
func (p Places) Ticket(ctx context.Context, service, host string) (*Ticket, error) {
	s, err := p.settings()
	if err != nil {
		return nil, &Error{Err: err}
	}
	path, err := p.path(s)
	if err != nil {
		return nil, &Error{Err: err}
	}
	c, err := readCache(path)
	if err != nil {
		return nil, &Error{Err: err}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	t, err := s.ticket(ctx, c, nameOf(service, host), host)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return t, err
}

func nameOf(parts ...string) types.PrincipalName {
	return types.PrincipalName{NameType: nametype.KRB_NT_SRV_HST, NameString: parts}
}

// ticketGranting returns the name of the service that gives tickets of a realm.
func ticketGranting(realm string) types.PrincipalName {
	return types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", realm}}
}

func (s *settings) ticket(ctx context.Context, c *cache, service types.PrincipalName, host string) (*Ticket, error) {
	now := time.Now()
	if cred, ok := c.find(service); ok && !now.Before(cred.begin) && now.Before(cred.end) && usable(cred.key) {
		ticket, err := ticketOf(cred)
		if err != nil {
			return nil, &Error{Err: err}
		}
		return &Ticket{client: c.client, ticket: ticket, key: cred.key}, nil
	}
	granting, ok := c.find(ticketGranting(c.client.realm))
	switch {
	case !ok:
		return nil, &Error{Err: fmt.Errorf("the cache has no ticket of %v; "+mend, c.client)}
	case !now.Before(granting.end):
		return nil, &Error{Err: fmt.Errorf("the ticket of %v expired on %s; "+mend,
			c.client, granting.end.Format("2006-01-02 at 15:04"))}
	}
	ticket, err := ticketOf(granting)
	if err != nil {
		return nil, &Error{Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, longestExchange)
	defer cancel()
	realm := s.conf.ResolveRealm(host)
	// Without a known realm, the KDC may say which one the host is in (RFC 6806 section 8).
	s.conf.LibDefaults.Canonicalize = realm == "" || s.conf.LibDefaults.Canonicalize
	return s.exchange(ctx, &Ticket{client: c.client, ticket: ticket, key: granting.key}, service, cmp.Or(realm, c.client.realm))
}

// exchange returns a ticket for the service. If the service is in another realm, it first gets one
// for the KDC of that realm. gokrb5 cannot go on from there to a third realm.
func (s *settings) exchange(ctx context.Context, t *Ticket, service types.PrincipalName, realm string) (*Ticket, error) {
	at := t.client.realm
	if realm != at {
		var err error
		if t, err = s.ask(ctx, t, ticketGranting(realm), at); err != nil {
			return nil, err
		}
		if granted := t.realmOf(); granted != realm {
			return nil, &Error{Err: fmt.Errorf("the way from realm %s to %s is longer than popfetch can go", show(at), show(realm))}
		}
		at = realm
	}
	t, err := s.ask(ctx, t, service, at)
	if err != nil {
		return nil, err
	}
	if other := t.realmOf(); other != "" {
		if at != t.client.realm || other == at {
			return nil, &Error{Err: fmt.Errorf("the KDC of %s refers to realm %s, which is further than popfetch can go", show(at), show(other))}
		}
		at = other
		if t, err = s.ask(ctx, t, service, at); err != nil {
			return nil, err
		}
	}
	if t.realmOf() != "" || !usable(t.key) {
		return nil, &Error{Err: fmt.Errorf("the KDC of %s gives no ticket with AES for %v", show(at), principal{service, at})}
	}
	return t, nil
}

// realmOf returns the realm of the KDC that the ticket is for; "": it is for another service.
func (t *Ticket) realmOf() string {
	if parts := t.ticket.SName.NameString; len(parts) == 2 && parts[0] == "krbtgt" {
		return parts[1]
	}
	return ""
}
