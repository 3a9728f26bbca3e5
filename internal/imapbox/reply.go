package imapbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/popfetch/popfetch/internal/escape"
)

const (
	longestLine    = 64 << 10
	longestLiteral = 1 << 20 // of a literal that nobody asked for
	mostUntagged   = 100_000 // lines that nobody asked for, before the one that is waited for
)

type replyKind int

const (
	untagged replyKind = iota
	goOn               // the server asks for a literal
	bye
	tagged
)

// reply is one line of the server.
type reply struct {
	kind    replyKind
	line    string
	tag     string
	refusal *Reply // nil: OK
	code    string // what stands in brackets
}

// err is the outcome that a reply stands for.
func (r *reply) err() error {
	if r.refusal == nil {
		return nil
	}
	return r.refusal
}

// await waits for a reply. A server that says goodbye says nothing more.
func (a *Appender) await() (*reply, error) {
	_ = a.conn.SetReadDeadline(time.Now().Add(a.timeout))
	for range mostUntagged {
		r, err := a.read()
		switch {
		case err != nil:
			return nil, err
		case r.kind == bye:
			return nil, errors.New("it said " + r.line)
		case r.kind == tagged && !isOwnTag(r.tag): // an answer to the library
		default:
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: more than %d lines that nobody asked for", ErrProtocol, mostUntagged)
}

// read reads one reply. The literals in it are dropped.
func (a *Appender) read() (*reply, error) {
	line, err := readText(a.r)
	if err != nil {
		return nil, err
	}
	r := &reply{kind: untagged, line: line}
	switch {
	case line == "+" || strings.HasPrefix(line, "+ "):
		r.kind = goOn
		return r, nil
	case isReply(line, "* BYE"):
		r.kind = bye
		return r, nil
	case strings.HasPrefix(line, "* "):
		return r, nil
	}
	tag, rest, _ := strings.Cut(line, " ")
	status, text, _ := strings.Cut(rest, " ")
	refusal := &Reply{Bad: strings.EqualFold(status, "BAD")}
	ok := strings.EqualFold(status, "OK")
	if !ok && !refusal.Bad && !strings.EqualFold(status, "NO") {
		return nil, fmt.Errorf("%w: it said %s", ErrProtocol, escape.Text([]byte(line), maxShown))
	}
	if inner, found := strings.CutPrefix(text, "["); found {
		if code, behind, found := strings.Cut(inner, "]"); found {
			r.code, text = code, strings.TrimPrefix(behind, " ")
		}
	}
	name, _, _ := strings.Cut(r.code, " ")
	refusal.Code, refusal.Text = strings.ToUpper(name), text
	r.kind, r.tag = tagged, tag
	if !ok {
		r.refusal = refusal
	}
	return r, nil
}

// readText reads a line without its end, and drops the literals in it.
func readText(from *bufio.Reader) (string, error) {
	var whole strings.Builder
	for {
		part, err := from.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) || whole.Len()+len(part) > longestLine {
			return "", fmt.Errorf("%w: a line of more than %d octets", ErrProtocol, longestLine)
		}
		if err != nil {
			return "", err
		}
		text := strings.TrimRight(string(part), "\r\n")
		whole.WriteString(text)
		octets, ok := literalAt(text)
		if !ok || !isData(whole.String()) {
			return whole.String(), nil
		}
		if octets > longestLiteral {
			return "", fmt.Errorf("%w: a literal of %d octets that nobody asked for", ErrProtocol, octets)
		}
		if _, err := io.CopyN(io.Discard, from, octets); err != nil {
			return "", err
		}
	}
}

// literalAt returns the size of the literal that a line announces at its end. The text of a reply may
// end in the same way.
func literalAt(line string) (octets int64, ok bool) {
	begin := strings.LastIndexByte(line, '{')
	if begin < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	octets, err := strconv.ParseInt(line[begin+1:len(line)-1], 10, 64)
	return octets, err == nil && octets >= 0
}

// isData reports whether a line is untagged data, and not the text of a status.
func isData(line string) bool {
	rest, found := strings.CutPrefix(line, "* ")
	for _, status := range []string{"OK", "NO", "BAD", "BYE"} {
		found = found && !isReply(rest, status)
	}
	return found
}

// marks returns where messages went, by the code APPENDUID (RFC 4315). If the code does not name as
// many messages, nothing is known.
func (r *reply) marks(messages int) []Mark {
	words := strings.Fields(r.code)
	if r.refusal != nil || len(words) != 3 || !strings.EqualFold(words[0], "APPENDUID") {
		return nil
	}
	validity, err := strconv.ParseUint(words[1], 10, 32)
	if err != nil {
		return nil
	}
	var marks []Mark
	for _, part := range strings.Split(words[2], ",") {
		low, high, isRange := strings.Cut(part, ":")
		if !isRange {
			high = low
		}
		from, err1 := strconv.ParseUint(low, 10, 32)
		to, err2 := strconv.ParseUint(high, 10, 32)
		if from > to {
			from, to = to, from
		}
		if err1 != nil || err2 != nil || from == 0 || to-from >= uint64(messages-len(marks)) {
			return nil
		}
		for uid := from; uid <= to; uid++ {
			marks = append(marks, Mark{uint32(validity), uint32(uid)})
		}
	}
	if len(marks) != messages {
		return nil
	}
	return marks
}

// readStatus adds to mark what a line says, if it is a reply to STATUS.
func readStatus(line string, mark Mark) Mark {
	begin := strings.LastIndexByte(line, '(')
	if !isReply(line, "* STATUS") || begin < 0 || !strings.HasSuffix(line, ")") {
		return mark
	}
	words := strings.Fields(line[begin+1 : len(line)-1])
	for i := 0; i+1 < len(words); i += 2 {
		value, err := strconv.ParseUint(words[i+1], 10, 32)
		switch {
		case err != nil:
		case strings.EqualFold(words[i], "UIDNEXT"):
			mark.UIDNext = uint32(value)
		case strings.EqualFold(words[i], "UIDVALIDITY"):
			mark.UIDValidity = uint32(value)
		}
	}
	return mark
}
