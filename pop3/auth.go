package pop3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
)

// maxChallenge limits a line of a SASL exchange, its end included (RFC 5034 section 4).
const maxChallenge = bufferOctets

// SASLClient is a SASL mechanism. It has the methods of go-sasl's sasl.Client.
type SASLClient interface {
	// Start returns the name of the mechanism and its initial response, or nil if it has none.
	Start() (mech string, ir []byte, err error)
	// Next answers a challenge. An error cancels the exchange. The octets of an answer, and those of
	// the initial response, are overwritten when they have been encoded.
	Next(challenge []byte) (response []byte, err error)
}

// completer is a SASLClient that judges a positive reply. Its error ends the session, because the
// server may be another one.
type completer interface{ Complete() error }

// Conceal masks secret in the trace and in errors. It is for a secret that a mechanism of Auth is
// about to send. Some servers repeat in their reply to a log-in the octets that the client sent.
// User, Apop and the lines of Auth itself are concealed without a call.
func (c *Client) Conceal(secret string) {
	if secret == "" {
		return
	}
	c.secrets = append(c.secrets, secret)
	// The longest come first, because one secret may contain another.
	slices.SortFunc(c.secrets, func(a, b string) int { return len(b) - len(a) })
}

// conceal masks the secrets that Conceal was given.
func (c *Client) conceal(octets []byte) []byte {
	for _, secret := range c.secrets {
		octets = bytes.ReplaceAll(octets, []byte(secret), []byte("***"))
	}
	return octets
}

// concealIn masks them in a reply. After the log-in, it leaves positive replies unchanged, because
// they hold numbers and unique-ids.
func (c *Client) concealIn(r reply) reply {
	if r.positive && c.state != stateAuthorization {
		return r
	}
	r.text = c.conceal(r.text)
	switch r.code {
	case CodeInUse, CodeLoginDelay, CodeAuth, CodeSysTemp, CodeSysPerm: // the caller acts on these
		return r
	}
	for _, secret := range c.secrets {
		if strings.Contains(string(r.code), strings.ToUpper(secret)) { // codes are in upper case
			r.code = ""
		}
	}
	return r
}

// beginLogin does the same as begin, for the methods that send credentials. It also conceals
// secret, and returns ErrInsecure if the credentials would be sent without TLS.
func (c *Client) beginLogin(ctx context.Context, keyword, secret string) (end func(), err error) {
	end, err = c.begin(ctx, keyword, stateAuthorization)
	if err != nil {
		return nil, err
	}
	c.Conceal(secret)
	if _, protected := c.TLSState(); !protected && c.opts.TLS != TLSNone {
		end()
		return nil, fmt.Errorf("%s: %w", keyword, ErrInsecure)
	}
	return end, nil
}

// User authenticates by USER and, after a positive reply, PASS. The Command of the *ReplyError says
// which of them was refused. The name and the password are sent exactly as given, save that
// Options.Octets may change their charset. If they cannot be sent, the error is ErrArgument (C0042
// to C0047).
func (c *Client) User(ctx context.Context, name, password string) error {
	end, err := c.beginLogin(ctx, "USER", password)
	if err != nil {
		return err
	}
	defer end()
	if name, err = c.credential("USER", "name", name); err != nil {
		return err
	}
	if password, err = c.credential("PASS", "password", password); err != nil {
		return err
	}
	c.Conceal(password)
	if _, err := c.roundTrip(command{keyword: "USER", args: name}); err != nil {
		return err
	}
	if _, err := c.roundTrip(command{keyword: "PASS", args: password, masked: "***"}); err != nil {
		return err
	}
	c.loggedIn()
	return nil
}

// Apop authenticates by APOP. It proves a shared secret by an MD5 digest over the secret and the
// greeting's timestamp (RFC 1939 section 7). The error is errors.ErrUnsupported if the greeting has
// no timestamp that is a valid msg-id. MD5 is weak: use APOP only if nothing better is available.
func (c *Client) Apop(ctx context.Context, name, secret string) error {
	end, err := c.beginLogin(ctx, "APOP", secret)
	if err != nil {
		return err
	}
	defer end()
	if c.timestamp == "" {
		return fmt.Errorf("APOP: no valid timestamp in the greeting: %w", errors.ErrUnsupported)
	}
	if name, err = c.credential("APOP", "name", name); err != nil {
		return err
	}
	if strings.Contains(name, " ") {
		// Otherwise the digest would not be the second argument.
		return fmt.Errorf("APOP: name contains spaces: %w", ErrArgument)
	}
	if secret, err = c.octets("APOP", "secret", secret); err != nil {
		return err
	}
	digest := apopDigest(c.timestamp, secret)
	c.Conceal(digest) // an attacker could guess the secret from it
	args := name + " " + digest
	if err := checkOctets("APOP", "name", args); err != nil {
		return err
	}
	masked := escape.Text([]byte(name), maxCommand) + " ***"
	if _, err := c.roundTrip(command{keyword: "APOP", args: args, masked: masked}); err != nil {
		return err
	}
	c.loggedIn()
	return nil
}

func apopDigest(timestamp, secret string) string {
	whole := append(append(make([]byte, 0, len(timestamp)+len(secret)), timestamp...), secret...)
	defer clear(whole)
	sum := md5.Sum(whole)
	return hex.EncodeToString(sum[:])
}

// Auth authenticates by a SASL mechanism (RFC 5034). A refusal is a *ReplyError. The exchange is
// cancelled if mech returns an error, or if a challenge is not base64. The error then wraps
// ErrCancelled and the cause, and the session is usable. If mech has a method Complete() error, that
// is called at the positive reply. Its error ends the session.
func (c *Client) Auth(ctx context.Context, mech SASLClient) error {
	end, err := c.beginLogin(ctx, "AUTH", "")
	if err != nil {
		return err
	}
	defer end()
	x, err := c.startExchange(mech)
	if err != nil {
		return err
	}
	if err := c.send(x.command); err != nil {
		return err
	}
	return c.exchange(x)
}

// exchange is a SASL exchange that has not started yet.
type exchange struct {
	name    string
	mech    SASLClient
	command command
	initial []byte // the initial response, if it did not fit the command
}

// startExchange starts the mechanism. It sends nothing yet.
func (c *Client) startExchange(mech SASLClient) (*exchange, error) {
	name, initial, err := mech.Start()
	if err != nil {
		return nil, fmt.Errorf("AUTH: starting the mechanism: %w", err)
	}
	if !isMechanismName(name) {
		return nil, fmt.Errorf("AUTH: mechanism name: %w", ErrArgument)
	}
	x := &exchange{name: name, mech: mech, command: command{keyword: "AUTH", args: name}}
	if initial == nil {
		return x, nil
	}
	encoded := encodeInitial(initial)
	if len(initial) > 0 {
		c.Conceal(encoded)
	}
	whole := command{keyword: "AUTH", args: name + " " + encoded, masked: name + " ***"}
	if whole.octets() > maxCommand {
		x.initial = initial
	} else {
		x.command = whole
		clear(initial)
	}
	return x, nil
}

// exchange answers challenges until the server accepts or refuses the log-in. If the initial
// response did not fit the command, it is the answer to the first challenge.
func (c *Client) exchange(x *exchange) error {
	initial := x.initial
	for {
		challenge, done, err := c.readChallenge()
		if err != nil {
			return err
		}
		if done {
			if judge, ok := x.mech.(completer); ok {
				if err := judge.Complete(); err != nil {
					return c.lose(fmt.Errorf("AUTH %s: %w", x.name, err))
				}
			}
			c.loggedIn()
			return nil
		}
		response := initial
		initial = nil
		if response == nil {
			decoded, err := base64.StdEncoding.Strict().DecodeString(challenge)
			if strings.Contains(challenge, "\r") { // the decoder would skip it
				err = base64.CorruptInputError(strings.IndexByte(challenge, '\r'))
			}
			if err != nil {
				return c.cancel(fmt.Errorf("AUTH %s: reading a challenge: %w", x.name, err))
			}
			if response, err = x.mech.Next(decoded); err != nil {
				return c.cancel(fmt.Errorf("AUTH %s: %w", x.name, err))
			}
		}
		encoded := base64.StdEncoding.EncodeToString(response)
		clear(response)
		c.Conceal(encoded)
		if err := c.respond(encoded, "***"); err != nil {
			return err
		}
	}
}

// readChallenge reads the next line of an exchange. It returns a challenge, or done for the
// positive reply, or a *ReplyError.
func (c *Client) readChallenge() (challenge string, done bool, err error) {
	c.awaitReply()
	line, err := c.readLine("AUTH", maxChallenge)
	if err != nil {
		return "", false, err
	}
	if challenge, ok := parseChallenge(line); ok {
		return challenge, false, nil
	}
	r, ok := parseReply(line)
	if !ok {
		return "", false, c.notReply("AUTH", line, "a challenge or a status line")
	}
	r = c.concealIn(r)
	c.answered()
	return "", true, r.asError("AUTH")
}

// So many lines are read, for so long, to find the refusal of a password behind them.
const (
	strayLines   = 10
	strayTimeout = 5 * time.Second
)

// notReply ends the session, because line is not the reply to keyword that was wanted. Some servers
// send text of their own before they refuse a password. A password that was refused must be known
// to be, so the refusal behind such text is the error. It must be -ERR. A success there is not
// believed.
func (c *Client) notReply(keyword string, line []byte, want string) error {
	err := c.lose(protocolError(keyword, c.conceal(line), want))
	if !slices.Contains([]string{"AUTH", "PASS", "APOP"}, keyword) {
		return err
	}
	c.link.wait = wait{what: "refusal", limit: min(c.opts.ReplyTimeout, strayTimeout)}
	for range strayLines {
		line, readErr := c.readLine(keyword, maxStatusLine)
		if readErr != nil {
			break
		}
		indicator, _ := cutField(line)
		if strings.EqualFold(string(indicator), "-ERR") {
			r, _ := parseReply(line)
			c.lost = err
			return c.concealIn(r).asError(keyword)
		}
		if strings.EqualFold(string(indicator), "+OK") {
			break
		}
	}
	return c.lose(err)
}

// parseChallenge returns the challenge in a line of a SASL exchange. Only +OK, in any case and as a
// whole word, ends an exchange. Any other line that starts with + is a challenge, with or without a
// space after the + (V0001, RFC 5034 section 4).
func parseChallenge(line []byte) (challenge string, ok bool) {
	if len(line) == 0 || line[0] != '+' {
		return "", false
	}
	if indicator, _ := cutField(line); strings.EqualFold(string(indicator), "+OK") {
		return "", false
	}
	return strings.Trim(string(line[1:]), " \t"), true
}

// respond sends a line of an exchange. The line is not a command, so no further reply becomes due.
func (c *Client) respond(line, traced string) error {
	if c.opts.Trace != nil {
		c.opts.Trace(true, traced)
	}
	octets := append(append(make([]byte, 0, len(line)+len("\r\n")), line...), "\r\n"...)
	defer clear(octets)
	if err := c.link.write(octets, c.opts.ReplyTimeout); err != nil {
		return c.lose(fmt.Errorf("AUTH: %w", err))
	}
	return nil
}

// cancel ends an exchange because of cause. The error wraps cause. It also wraps ErrCancelled if
// the server confirmed the cancellation, or else the reason why it did not.
func (c *Client) cancel(cause error) error {
	if err := c.respond("*", "*"); err != nil {
		return fmt.Errorf("%w; cancelling: %w", cause, err)
	}
	c.awaitReply()
	r, err := c.readReply("AUTH")
	if err != nil {
		return fmt.Errorf("%w; cancelling: %w", cause, err)
	}
	if r.positive {
		return fmt.Errorf("%w; cancelling: %w", cause, c.lose(protocolError("AUTH", r.text, "a negative reply to *")))
	}
	c.answered()
	return fmt.Errorf("%w: %w", ErrCancelled, cause)
}

// encodeInitial returns the initial response in the form that AUTH takes. An empty response is "="
// (RFC 5034 section 4).
func encodeInitial(initial []byte) string {
	if len(initial) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(initial)
}

// isMechanismName reports whether name is a valid name of a mechanism (RFC 4422 section 3.1).
func isMechanismName(name string) bool {
	return len(name) >= 1 && len(name) <= 20 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}
