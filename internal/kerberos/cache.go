package kerberos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/popfetch/popfetch/internal/escape"
)

// principal is a user or a service.
type principal struct {
	name  types.PrincipalName
	realm string
}

func (p principal) String() string {
	return escape.Text([]byte(p.name.PrincipalNameString()+"@"+p.realm), 200)
}

func (p principal) equal(q principal) bool { return p.name.Equal(q.name) && p.realm == q.realm }

// credential is a ticket in a cache.
type credential struct {
	client        principal
	server        principal
	unfit         bool // for a log-in: postdated, or its key is that of another ticket
	key           types.EncryptionKey
	authenticated time.Time // when the client proved itself to the KDC
	begin, end    time.Time
	ticket        []byte
}

// cache is what a ticket cache holds.
type cache struct {
	client      principal
	credentials []credential
}

// find returns the ticket of the cache's owner for a service of any realm that fits and lasts longest.
func (c *cache) find(name types.PrincipalName, fits func(credential) bool) (found credential, ok bool) {
	for _, cred := range c.credentials {
		switch {
		case !cred.server.name.Equal(name), !cred.client.equal(c.client), cred.unfit, !fits(cred):
		case !ok || cred.end.After(found.end):
			found, ok = cred, true
		}
	}
	return found, ok
}

// mend is the end of each error message for which kinit is the remedy.
const mend = "run kinit"

// readCache reads the ticket cache at path.
func readCache(path string) (*cache, error) {
	octets, err := readFile(path, checkOwn)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no ticket cache %s; "+mend, path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ticket cache: %w", err)
	}
	c, err := parseCache(octets)
	if err != nil {
		return nil, fmt.Errorf("the ticket cache %s %w; "+mend, path, err)
	}
	return c, nil
}

// parseCache reads the formats 3 and 4 of MIT's documentation. Older ones depend on the machine, and
// have not been written since 1996.
func parseCache(octets []byte) (*cache, error) {
	r := &reader{rest: octets}
	format := r.number(2)
	if r.cut || format != 0x0503 && format != 0x0504 {
		return nil, errors.New("has no known format")
	}
	if format == 0x0504 {
		r.octets(r.number(2)) // the clock's difference from the KDC's
	}
	c := &cache{client: r.principal()}
	for len(r.rest) > 0 && !r.cut {
		c.credentials = append(c.credentials, r.credential(format == 0x0503))
	}
	if r.cut {
		return nil, errors.New("is cut")
	}
	return c, nil
}

// reader reads fields. After a field that is not complete, it is cut and returns nothing more.
type reader struct {
	rest []byte
	cut  bool
}

func (r *reader) octets(n uint64) []byte {
	if r.cut || n > uint64(len(r.rest)) {
		r.cut, r.rest = true, nil
		return nil
	}
	field := r.rest[:n]
	r.rest = r.rest[n:]
	return field
}

// number reads a number of at most 8 octets.
func (r *reader) number(size uint64) uint64 {
	var whole [8]byte
	copy(whole[8-size:], r.octets(size))
	return binary.BigEndian.Uint64(whole[:])
}

func (r *reader) data() []byte { return r.octets(r.number(4)) }

func (r *reader) principal() principal {
	p := principal{name: types.PrincipalName{NameType: int32(r.number(4))}}
	count := r.number(4)
	p.realm = string(r.data())
	for ; count > 0 && !r.cut; count-- {
		p.name.NameString = append(p.name.NameString, string(r.data()))
	}
	return p
}

func (r *reader) credential(typeTwice bool) credential {
	var c credential
	c.client = r.principal()
	c.server = r.principal()
	if typeTwice {
		r.octets(2)
	}
	c.key.KeyType = int32(r.number(2))
	c.key.KeyValue = r.data()
	authenticated, begin := r.number(4), r.number(4)
	if begin == 0 {
		begin = authenticated
	}
	c.authenticated = time.Unix(int64(authenticated), 0)
	c.begin, c.end = time.Unix(int64(begin), 0), time.Unix(int64(r.number(4)), 0)
	r.octets(4) // renewable until
	const invalid = 1 << (31 - flags.Invalid)
	otherKey, ticketFlags := r.number(1), r.number(4)
	c.unfit = otherKey != 0 || ticketFlags&invalid != 0
	for range 2 { // addresses, authorization data
		for count := r.number(4); count > 0 && !r.cut; count-- {
			r.octets(2)
			r.data()
		}
	}
	c.ticket = r.data()
	r.data() // a second ticket
	if strings.HasPrefix(c.server.realm, "X-CACHECONF:") {
		c.server.name.NameString = nil // a setting of the cache
	}
	return c
}

// ticketOf returns the parts of a credential as gokrb5 has them.
func ticketOf(c credential) (ticket messages.Ticket, err error) {
	err = guard(func() error { return ticket.Unmarshal(c.ticket) })
	if err != nil {
		return ticket, fmt.Errorf("the ticket for %v in the cache is not valid (%s); "+mend, c.server, escape.Text([]byte(err.Error()), 200))
	}
	return ticket, nil
}
