package deliver

import "bytes"

// dataWriter spools a message in the form that it has on the wire behind DATA: a line that begins
// with a dot gets another one (RFC 5321 section 4.5.2). Nothing else is changed.
//
// The text behind a bare LF counts as a line too. Some servers end a line there, and would take a
// dot alone behind it as the end of the message, and the rest of the message as commands. A server
// that sees no line end in a bare LF stores the added dot.
type dataWriter struct {
	to       *spool
	octets   int64 // of the message as it came
	inLine   bool  // the last octet was no LF, and there was one
	lastCR   bool  // the last octet was a CR
	endsLine bool  // the last two octets were CR and LF
	eightBit bool  // some octet is above 127
	err      error // what ended the spooling; later calls return it too
}

// write never keeps p.
func (w *dataWriter) write(p []byte) error {
	if len(p) == 0 || w.err != nil {
		return w.err
	}
	w.measure(p)
	if !w.inLine && p[0] == '.' {
		w.put([]byte{'.'})
	}
	for rest := p; ; {
		at := bytes.Index(rest, []byte("\n."))
		if at < 0 {
			w.put(rest)
			break
		}
		w.put(rest[:at+1])
		w.put([]byte{'.'})
		w.put(rest[at+1 : at+2])
		rest = rest[at+2:]
	}
	w.inLine = p[len(p)-1] != '\n'
	return w.err
}

func (w *dataWriter) measure(p []byte) {
	w.octets += int64(len(p))
	var all byte
	for _, c := range p {
		all |= c
	}
	w.eightBit = w.eightBit || all >= 0x80
	last := len(p) - 1
	beforeIsCR := w.lastCR
	if last > 0 {
		beforeIsCR = p[last-1] == '\r'
	}
	w.endsLine = p[last] == '\n' && beforeIsCR
	w.lastCR = p[last] == '\r'
}

func (w *dataWriter) put(p []byte) {
	if w.err == nil && len(p) > 0 {
		_, w.err = w.to.Write(p)
	}
}

// size returns how many octets the message has when it arrives.
func (w *dataWriter) size() int64 {
	if w.endsLine {
		return w.octets
	}
	return w.octets + 2
}
