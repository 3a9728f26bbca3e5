package kerberos

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"
)

const (
	maxReply  = 1 << 20 // octets of a KDC's reply; tickets of Windows may have 64 KB
	maxPacket = 1 << 16
)

var (
	// longestTry limits the time for one KDC by TCP or UDP, so that another one gets its turn.
	longestTry = 4 * time.Second
	// repeatAfter is when a request by UDP is sent again. Either packet may have been lost.
	repeatAfter = time.Second
)

// try is one way to reach a KDC.
type try struct{ protocol, addr string }

// send sends a request to the KDCs of a realm, one after the other, until one answers it. UDP is used
// if a KDC is not reached by TCP. An error is an *Error.
func (s *settings) send(ctx context.Context, realm string, request []byte) ([]byte, error) {
	tries, err := s.tries(ctx, realm)
	if err != nil {
		return nil, err
	}
	var failed error
	for i, t := range tries {
		reply, err := t.send(ctx, request, len(tries)-i)
		if err == nil {
			return reply, nil
		}
		failed = cmp.Or(failed, fmt.Errorf("%s over %s: %w", show(t.addr), t.protocol, err))
	}
	return nil, &Error{Temporary: true, Err: fmt.Errorf("no KDC of %s is reached: %w", show(realm), failed)}
}

// tries returns how to reach the KDCs of a realm, from krb5.conf or else from DNS. An error is an *Error.
func (s *settings) tries(ctx context.Context, realm string) ([]try, error) {
	kdcs := s.profile.values("realms", realm, "kdc")
	var tries []try
	for _, kdc := range kdcs {
		tries = append(tries, parseKDC(kdc)...)
	}
	switch {
	case len(tries) > 0:
		return tries, nil
	case len(kdcs) > 0:
		return nil, &Error{Err: fmt.Errorf("krb5.conf names only %s as KDC of %s, and popfetch has no KDC proxy and no other way than TCP and UDP",
			show(kdcs[0]), show(realm))}
	case !s.dns:
		return nil, &Error{Err: fmt.Errorf("no KDC of %s is known: krb5.conf names none, and forbids to ask DNS", show(realm))}
	}
	tries, err := lookUp(ctx, realm)
	if err != nil {
		var unknown *net.DNSError
		final := errors.Is(err, errNoRecords) || errors.As(err, &unknown) && unknown.IsNotFound // somebody must mend krb5.conf
		return nil, &Error{Temporary: !final, Err: fmt.Errorf("no KDC of %s is known: krb5.conf names none, and DNS neither: %s", show(realm), show(err.Error()))}
	}
	return tries, nil
}

// parseKDC returns the ways to reach a KDC in krb5.conf: a host, perhaps with a port, and with tcp/ or
// udp/ before it. It returns none for a KDC proxy or a socket.
func parseKDC(text string) (tries []try) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil
	}
	protocols, addr := []string{"tcp", "udp"}, words[0]
	for _, protocol := range protocols {
		if rest, ok := strings.CutPrefix(addr, protocol+"/"); ok {
			protocols, addr = []string{protocol}, rest
			break
		}
	}
	if strings.Contains(addr, "/") {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil { // there is no port
		host, port = strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]"), ""
	}
	for _, protocol := range protocols {
		tries = append(tries, try{protocol, net.JoinHostPort(host, cmp.Or(port, "88"))})
	}
	return tries
}

// lookUp finds KDCs by DNS (RFC 4120 section 7.2.3.2). Those by TCP and those by UDP take turns.
func lookUp(ctx context.Context, realm string) (tries []try, err error) {
	var found [2][]try
	for i, protocol := range []string{"tcp", "udp"} {
		_, records, failed := net.DefaultResolver.LookupSRV(ctx, "kerberos", protocol, realm+".") // no search domain
		err = cmp.Or(err, failed)
		for _, r := range records {
			if host := strings.TrimSuffix(r.Target, "."); host != "" { // without a name, there is no such service
				found[i] = append(found[i], try{protocol, net.JoinHostPort(host, strconv.Itoa(int(r.Port)))})
			}
		}
	}
	for i := range max(len(found[0]), len(found[1])) {
		for _, list := range found {
			if i < len(list) {
				tries = append(tries, list[i])
			}
		}
	}
	if len(tries) > 0 {
		return tries, nil
	}
	return nil, cmp.Or(err, errNoRecords)
}

var errNoRecords = errors.New("no SRV records")

// send sends a request to one KDC (RFC 4120 section 7.2). So many tries, this one included, share the
// time that is left. It is an error if the KDC says that another one, or another protocol, should be
// tried.
func (t try) send(ctx context.Context, request []byte, tries int) (reply []byte, err error) {
	limit := longestTry
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/time.Duration(tries))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, t.protocol, t.addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	exchange := sendTCP
	if t.protocol == "udp" {
		exchange = sendUDP
	}
	if reply, err = exchange(c, request); err != nil {
		return nil, err
	}
	var e messages.KRBError
	if guard(func() error { return e.Unmarshal(reply) }) == nil {
		switch e.ErrorCode {
		case errorcode.KDC_ERR_SVC_UNAVAILABLE, errorcode.KRB_ERR_RESPONSE_TOO_BIG:
			return nil, errors.New(show(e.Error()))
		}
	}
	return reply, nil
}

// sendTCP sends a request and reads the reply. Both follow their length.
func sendTCP(c net.Conn, request []byte) ([]byte, error) {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	if _, err := c.Write(append(length, request...)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, length); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length)
	if n > maxReply {
		return nil, fmt.Errorf("the reply has %d octets, and at most %d are read", n, maxReply)
	}
	reply := make([]byte, n)
	_, err := io.ReadFull(c, reply)
	return reply, err
}

// sendUDP sends a request, again and again, until there is a reply.
func sendUDP(c net.Conn, request []byte) ([]byte, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	done, again := make(chan struct{}), time.NewTicker(repeatAfter)
	defer again.Stop()
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-again.C:
				_, _ = c.Write(request) // the reader meets the error too
			}
		}
	}()
	reply := make([]byte, maxPacket)
	n, err := c.Read(reply)
	return reply[:n], err
}
