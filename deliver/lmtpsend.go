package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/popfetch/popfetch/internal/escape"
)

// codeClosing is the reply of a server that closes the connection.
const codeClosing = 421

// shownRecipients is how many recipients the text of a refusal names.
const shownRecipients = 4

// lmtpReply is what became of a message for one of its recipients.
type lmtpReply struct {
	to   string
	at   string // the command that the reply answers
	done bool   // the recipient has the message
	err  error  // why not
}

// lmtpReplies are those of all recipients of one transaction.
type lmtpReplies []lmtpReply

// taken returns the recipients that have the message.
func (r lmtpReplies) taken() (taken []string) {
	for _, one := range r {
		if one.done {
			taken = append(taken, one.to)
		}
	}
	return taken
}

// fail notes an error for all recipients that no reply has settled yet.
func (r lmtpReplies) fail(at string, err error) {
	for i := range r {
		if !r[i].done && r[i].err == nil {
			r[i].at, r[i].err = at, err
		}
	}
}

// refusal is the verdict for a message that not all recipients have taken.
func (r lmtpReplies) refusal(target string) *Error {
	refusal := &Error{Target: target, Status: -1}
	var causes, texts []string
	var first error
	for _, one := range r {
		if one.done {
			continue
		}
		refusal.Temporary = refusal.Temporary || !isPermanent(one.err)
		if first == nil {
			first = one.err
		}
		cause, text := explain(one.err)
		if len(r) > 1 {
			cause = escape.Lines([]byte(one.to), maxAddress) + ": " + cause
		}
		causes = append(causes, cause+" at "+one.at)
		if text != "" {
			texts = append(texts, text)
		}
	}
	if more := len(causes) - shownRecipients; more > 0 {
		causes = append(causes[:shownRecipients], fmt.Sprintf("and %d more", more))
	}
	refusal.Err = &lmtpError{strings.Join(causes, "; "), first}
	refusal.Output = escape.Lines([]byte(strings.Join(texts, "\n")), keptOutput)
	return refusal
}

// lmtpError names the replies to a message, without what may differ from one time to the next.
type lmtpError struct {
	text  string
	first error
}

func (e *lmtpError) Error() string { return e.text }
func (e *lmtpError) Unwrap() error { return e.first }

// isPermanent reports whether an error is a reply that refuses for good.
func isPermanent(err error) bool {
	return codeOf(err)/100 == 5
}

// explain returns the codes of a reply and its text. Of another error there is no text.
func explain(err error) (codes, text string) {
	var reply *smtp.SMTPError
	if !errors.As(err, &reply) {
		return escape.Lines([]byte(err.Error()), maxShownOutput), ""
	}
	codes = fmt.Sprintf("%03d", reply.Code)
	if enhanced := reply.EnhancedCode; enhanced != (smtp.EnhancedCode{}) {
		codes += fmt.Sprintf(" %d.%d.%d", enhanced[0], enhanced[1], enhanced[2])
	}
	return codes, strings.TrimSpace(codes + " " + reply.Message)
}

// explainReply makes an error of a reply that shows its codes and its text, escaped.
func explainReply(err error) error {
	if _, text := explain(err); text != "" {
		return &lmtpError{"the server says " + escape.Lines([]byte(text), maxShownOutput), err}
	}
	return err
}

// send gives the message to recipients in one transaction, and returns what each has answered. An
// error means that the server takes no message now. A connection that was idle may turn out to be
// closed; then there is one more attempt, over a new one.
func (l *LMTP) send(ctx context.Context, d *lmtpDelivery, recipients []string) (lmtpReplies, error) {
	line, err := l.lines.take(ctx, l)
	if err != nil {
		return nil, err
	}
	replies, keep, err := l.transact(ctx, line, d, recipients)
	if err != nil && line.used && ctx.Err() == nil {
		line.close()
		l.lines.drop() // the others are likely to be closed too
		if line, err = l.dial(ctx); err != nil {
			return nil, err
		}
		replies, keep, err = l.transact(ctx, line, d, recipients)
	}
	if err != nil {
		line.close()
		return nil, l.unreachable(ctx, explainReply(err))
	}
	if keep && ctx.Err() == nil {
		l.lines.put(line)
	} else {
		line.close()
	}
	return replies, nil
}

// transact is one transaction. The error is that of a connection which is closed before the message
// has begun. If keep is set, the connection can take another message.
func (l *LMTP) transact(
	ctx context.Context, line *lmtpLine, d *lmtpDelivery, recipients []string,
) (replies lmtpReplies, keep bool, err error) {
	defer line.bound(ctx)()
	for _, to := range recipients {
		replies = append(replies, lmtpReply{to: to})
	}
	err = l.mail(line, d, recipients)
	switch {
	case err == nil:
	case isClosed(err), ctx.Err() != nil:
		return nil, false, err
	default:
		replies.fail("MAIL", err)
		return replies, isReply(err), nil
	}
	accepted, err := l.rcpt(line, replies)
	if err != nil {
		replies.fail("RCPT", l.ended(ctx, err))
		return replies, false, nil
	}
	if accepted == 0 {
		return replies, line.client.Reset() == nil, nil
	}
	data, err := line.client.Data()
	if err != nil {
		replies.fail("DATA", l.ended(ctx, err))
		return replies, isReply(err) && line.client.Reset() == nil, nil
	}
	if err := line.stream(d); err != nil {
		replies.fail("DATA", l.ended(ctx, err))
		return replies, false, nil
	}
	if l.Protocol == SMTPProtocol {
		_, err = data.CloseWithResponse()
		err = replies.settle(nil, err)
	} else {
		var taken map[string]*smtp.DataResponse
		taken, err = data.CloseWithLMTPResponse()
		err = replies.settle(taken, err)
	}
	if err != nil {
		replies.fail("DATA", l.ended(ctx, err))
	}
	return replies, err == nil, nil
}

// mail begins the transaction.
func (l *LMTP) mail(line *lmtpLine, d *lmtpDelivery, recipients []string) error {
	options := &smtp.MailOptions{Size: d.data.size()}
	utf8, _ := line.client.Extension("SMTPUTF8")
	from, err := l.sender(d, utf8)
	if err != nil {
		return err
	}
	for _, address := range append([]string{from}, recipients...) {
		options.UTF8 = options.UTF8 || utf8 && !isASCII(address)
	}
	if announced, _ := line.client.Extension("8BITMIME"); d.data.eightBit && !announced {
		l.remind(l.name() + " does not announce 8BITMIME; messages with 8-bit octets are sent as they are")
	}
	return line.client.Mail(from, options)
}

// rcpt names the recipients, and returns how many the server accepts. An error means that the
// connection cannot be used any more.
func (l *LMTP) rcpt(line *lmtpLine, replies lmtpReplies) (accepted int, err error) {
	utf8, _ := line.client.Extension("SMTPUTF8")
	for i := range replies {
		one := &replies[i]
		if !utf8 && !isASCII(one.to) {
			one.at, one.err = "RCPT", errNoUTF8
			continue
		}
		switch err := line.client.Rcpt(one.to, nil); {
		case err == nil:
			accepted++
		case isReply(err):
			one.at, one.err = "RCPT", err
		default:
			return accepted, err
		}
	}
	return accepted, nil
}

// stream sends the message. The end of data is sent by the client, which puts CRLF in front of it.
func (line *lmtpLine) stream(d *lmtpDelivery) error {
	cut := 0
	if d.data.endsLine {
		cut = len("\r\n")
	}
	if d.spool.file == nil {
		text := d.spool.memory.Bytes()
		line.conn.ahead = text[:len(text)-cut]
		return nil
	}
	_, err := io.Copy(line.conn.Conn, io.NewSectionReader(d.spool.file, 0, d.spool.octets-int64(cut)))
	return err
}

// settle enters the replies after DATA. By LMTP there is one for each recipient that was accepted;
// taken has those of the recipients that have the message. An error means that the connection cannot
// be used any more, and that some replies are missing.
func (r lmtpReplies) settle(taken map[string]*smtp.DataResponse, err error) error {
	refused, err := partsOf(err)
	var broken error
	if err != nil && !isReply(err) {
		broken = err
	}
	for i := range r {
		one := &r[i]
		if one.err != nil {
			continue
		}
		reply := err
		if own := refused[one.to]; own != nil {
			reply = own
		}
		switch {
		case reply == nil, taken[one.to] != nil, codeOf(reply)/100 == 2:
			one.done = true
		case codeOf(reply) == codeClosing:
			one.at, one.err, broken = "DATA", reply, cmp.Or(broken, reply)
		case isReply(reply):
			one.at, one.err = "DATA", reply
		}
	}
	return broken
}

// partsOf takes apart what go-smtp returns after DATA: the replies of recipients that refuse, and the
// error of the connection or of a reply for all.
func partsOf(err error) (refused smtp.LMTPDataError, other error) {
	if !errors.As(err, &refused) {
		return nil, err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, part := range joined.Unwrap() {
			if codeOf(part) == 0 {
				return refused, part
			}
		}
	}
	return refused, nil
}

// codeOf returns the code of a reply, 0 for another error.
func codeOf(err error) int {
	var reply *smtp.SMTPError
	if !errors.As(err, &reply) {
		return 0
	}
	return reply.Code
}

// isReply reports whether an error is a reply, after which the connection can be used.
func isReply(err error) bool {
	code := codeOf(err)
	return code != 0 && code != codeClosing
}

// ended names why a context has ended the connection.
func (l *LMTP) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && !isReply(err) {
		return context.Cause(ctx)
	}
	return err
}
