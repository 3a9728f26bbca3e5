package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"mime"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/escape"
)

// shownHeader is the header of a message as a person sees it: decoded and harmless. A date that can
// be read is in UTC.
type shownHeader struct{ date, from, subject string }

func showHeader(h fetch.Header) shownHeader {
	if h == (fetch.Header{}) { // of most messages, and there may be millions
		return shownHeader{}
	}
	date := decode(h.Date)
	if at, err := mail.ParseDate(h.Date); err == nil {
		date = at.UTC().Format(time.RFC3339)
	}
	return shownHeader{date, decode(h.From), decode(h.Subject)}
}

// summary returns the header for the end of a line.
func (h shownHeader) summary() string {
	var parts []string
	if h.date != "" {
		parts = append(parts, h.date)
	}
	if h.from != "" {
		parts = append(parts, "from "+h.from)
	}
	if h.subject != "" {
		parts = append(parts, `"`+h.subject+`"`) // it is escaped already
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}

// words decodes encoded words (RFC 2047).
var words = mime.WordDecoder{CharsetReader: func(charset string, input io.Reader) (io.Reader, error) {
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		return nil, fmt.Errorf("charset %q: %w", charset, err)
	}
	return encoding.NewDecoder().Reader(input), nil
}}

// decode returns a value of a header as one line of harmless text.
func decode(value string) string {
	return escape.Text([]byte(strings.Join(strings.Fields(decodeWords(value)), " ")), math.MaxInt)
}

// decodeWords decodes a value of a header. Octets beyond ASCII that are not UTF-8 most often are of
// Windows-1252. What cannot be decoded stays as it is.
func decodeWords(value string) string {
	if !utf8.ValidString(value) {
		if text, err := charmap.Windows1252.NewDecoder().String(value); err == nil {
			value = text
		}
	}
	if decoded, err := words.DecodeHeader(value); err == nil {
		value = decoded
	}
	return value
}

// tellNoHeaders says that a server has shown no headers, though they were asked for.
func (p *program) tellNoHeaders(survey *fetch.Survey) {
	if p.headers && survey.Headers != nil && len(survey.Headers) == 0 && len(survey.Listing) > 0 && !survey.Capabilities.Has("TOP") {
		p.term.errorf("%s: the server does not offer TOP, so no headers are shown", survey.Account)
	}
}

// lookAtHeaders returns a lookFunc that asks for headers if they are wanted.
func (p *program) lookAtHeaders(of fetch.Headers) lookFunc {
	if !p.headers {
		of = fetch.NoHeaders
	}
	return func(r *fetch.Runner, ctx context.Context, a *fetch.Account) (*fetch.Survey, error) {
		return r.LookAtHeaders(ctx, a, of)
	}
}
