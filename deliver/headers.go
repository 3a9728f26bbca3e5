package deliver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// headers puts header lines on top of each message. They come in this order: Return-Path (only if
// the message has none), Delivered-To, Received and X-Popfetch.
//
// Of a file that it finds, it can tell how the message came: it takes away exactly the lines that
// it would put there.
type headers struct{ returnPath, deliveredTo, received, popfetch bool }

// emptyPath is the line for a message without Return-Path. The two blanks mark it as ours.
const emptyPath = "Return-Path:  <>\r\n"

// NewHeaders returns a target that puts header lines on top of each message for inner. The names
// are "return-path", "delivered-to", "received" and "popfetch". Each target of a fan or a route gets
// lines of its own: it compares what the targets have with the message before the lines.
func NewHeaders(names []string, inner Target) Target {
	switch t := madeOf(inner).(type) {
	case *fan:
		return t.with(func(target Target) Target { return NewHeaders(names, target) })
	case *route:
		return t.with(func(target Target) Target { return NewHeaders(names, target) })
	case Drop:
		return inner
	}
	h := &headers{
		returnPath: slices.Contains(names, "return-path"), deliveredTo: slices.Contains(names, "delivered-to"),
		received: slices.Contains(names, "received"), popfetch: slices.Contains(names, "popfetch"),
	}
	finder, isFinder := AsFinder(inner)
	return honest(&headersWhole{wrapped{inner, finder}, h}, isFinder, isFinder)
}

// headersWhole is the target of NewHeaders.
type headersWhole struct {
	wrapped
	*headers
}

// Begin opens an empty batch.
func (w *headersWhole) Begin(ctx context.Context) (Batch, error) {
	opened, err := w.inner.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &headersBatch{opened, w.headers}, nil
}

// headersBatch is a batch of inner.
type headersBatch struct {
	Batch
	headers *headers
}

// headersDelivery is one message on its way to inner.
type headersDelivery struct {
	Delivery
	headers  *headers
	env      Envelope
	head     headHolder
	begun    bool // the lines are written
	measured *lineWriter
	came     Sum
}

// Create starts a message.
func (b *headersBatch) Create(ctx context.Context, env Envelope) (Delivery, error) {
	d, err := b.Batch.Create(ctx, env)
	if err != nil {
		return nil, err
	}
	return &headersDelivery{Delivery: d, headers: b.headers, env: env, measured: newLineWriter(io.Discard)}, nil
}

// Write writes the lines before the first octets. If it must know whether the message has a
// Return-Path, it holds the header until then.
func (d *headersDelivery) Write(p []byte) (int, error) {
	if d.measured == nil {
		return 0, errNotOpen
	}
	_, _ = d.measured.Write(p) // it never fails
	if d.begun {
		return d.Delivery.Write(p)
	}
	octets, whole := p, true
	if d.headers.returnPath {
		octets, whole = d.head.add(p)
	}
	if !whole {
		return len(p), nil
	}
	if err := d.begin(octets); err != nil {
		return 0, err
	}
	return len(p), nil
}

// begin writes the lines, and the octets of the message so far.
func (d *headersDelivery) begin(octets []byte) error {
	d.begun = true
	if _, err := d.Delivery.Write(d.headers.lines(d.env, octets, time.Now())); err != nil {
		return err
	}
	_, err := d.Delivery.Write(octets)
	d.head = headHolder{}
	return err
}

// Close ends the message.
func (d *headersDelivery) Close() error {
	if d.measured == nil {
		return errNotOpen
	}
	if !d.begun {
		if err := d.begin(d.head.held); err != nil {
			return errors.Join(err, d.Abort())
		}
	}
	d.came, _ = d.measured.finish() // it never fails
	d.release()
	return d.Delivery.Close()
}

// Abort takes the message out of the batch.
func (d *headersDelivery) Abort() error {
	if d.measured == nil {
		return errNotOpen
	}
	d.release()
	return d.Delivery.Abort()
}

func (d *headersDelivery) release() {
	d.measured.release()
	d.measured = nil
}

// Receipt has the message as it came, and the places of inner.
func (d *headersDelivery) Receipt() Receipt {
	return Receipt{Came: d.came, Places: d.Delivery.Receipt().Places}
}

// mostLine is how long our lines may be if they can be folded.
const mostLine = 78

// lines returns the lines for a message that begins with head.
func (h *headers) lines(env Envelope, head []byte, now time.Time) []byte {
	var b bytes.Buffer
	if h.returnPath && needsPath(head) {
		b.WriteString(emptyPath)
	}
	if h.deliveredTo {
		to := env.Recipient
		if to == "" {
			to = env.User
		}
		fmt.Fprintf(&b, "Delivered-To: %s\r\n", headerWord(to))
	}
	if h.received {
		fmt.Fprintf(&b, "Received: from %s\r\n\tby %s\r\n\twith POP3 id %s", domain(env.Server), domain(localName()), env.Token)
		if env.Recipient != "" {
			fmt.Fprintf(&b, "\r\n\tfor <%s>", headerWord(env.Recipient))
		}
		fmt.Fprintf(&b, ";\r\n\t%s\r\n", now.Format(time.RFC1123Z))
	}
	if h.popfetch {
		account, id := headerWord(env.Account), EscapeUniqueID(env.UniqueID)
		fold := ""
		if len("X-Popfetch: account=; uid=")+len(account)+len(id) > mostLine {
			fold = "\r\n"
		}
		fmt.Fprintf(&b, "X-Popfetch: account=%s;%s uid=%s\r\n", account, fold, id)
	}
	return b.Bytes()
}

// needsPath reports whether a message that begins with head gets a Return-Path: it has none, or it
// begins with the line that we would put there. Otherwise nobody could tell whose line that is.
func needsPath(head []byte) bool {
	if bytes.HasPrefix(head, []byte(strings.TrimSuffix(emptyPath, "\r\n"))) {
		return true
	}
	for name := range fields(head) {
		if isNamed(name, "Return-Path") {
			return false
		}
	}
	return true
}

// headerWord returns a name or an address as one word of a header. It percent-encodes all octets
// outside of 0x21 to 0x7E.
func headerWord(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c < 0x21 || c > 0x7e {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// domain returns a server as RFC 5321 names a host in Received: without its port, and an address in
// brackets.
func domain(server string) string {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		host = server
	}
	switch ip := net.ParseIP(host); {
	case ip == nil:
		return headerWord(host)
	case ip.To4() != nil:
		return "[" + ip.String() + "]"
	default:
		return "[IPv6:" + ip.String() + "]"
	}
}

// localName returns the name of this host.
func localName() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

// CameAs reads a message back without the lines that were put on top. If they are not there, the
// message was delivered before they were asked for.
func (w *headersWhole) CameAs(ctx context.Context, place string) (came Sum, known bool, err error) {
	file, err := w.finder.Open(ctx, place)
	if err != nil {
		return Sum{}, false, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	r := bufio.NewReaderSize(file, mostLines)
	top, err := r.Peek(mostLines)
	if err != nil && !errors.Is(err, io.EOF) {
		return Sum{}, false, fmt.Errorf("reading a message back: %w", err)
	}
	_, _ = r.Discard(w.headers.linesOf(top)) // it was peeked at
	came, err = readSum(r)
	return came, err == nil, err
}

// mostLines is more than the lines that we put on top can have, in octets.
const mostLines = 16 << 10

// linesOf returns how many octets of a delivered message, which begins with top, are our lines. If
// one is missing, there are none. A line ends in LF here.
func (h *headers) linesOf(top []byte) (octets int) {
	rest := top
	take := func(prefix, suffix string) bool {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		if !ended || !bytes.HasPrefix(line, []byte(prefix)) || !bytes.HasSuffix(line, []byte(suffix)) {
			return false
		}
		rest = after
		return true
	}
	if after, found := bytes.CutPrefix(rest, []byte(strings.ReplaceAll(emptyPath, "\r\n", "\n"))); found && h.returnPath {
		rest = after
	}
	is := !h.deliveredTo || take("Delivered-To: ", "")
	if h.received {
		is = is && take("Received: from ", "") && take("\tby ", "")
		// Without a recipient, the third line ends the information.
		is = is && (take("\twith POP3 id ", ";") || take("\twith POP3 id ", "") && take("\tfor <", ">;")) && take("\t", "")
	}
	is = is && (!h.popfetch || take("X-Popfetch: account=", ";") && take(" uid=", "") || take("X-Popfetch: account=", ""))
	if !is {
		return 0
	}
	return len(top) - len(rest)
}
