package poptest

import (
	"crypto/md5" // APOP needs it (RFC 1939 section 7).
	"encoding/hex"
	"errors"
	"maps"
	"strconv"
	"strings"
)

// execute answers a command as RFC 1939 says.
func (s *Session) execute(cmd string) error {
	keyword, argument, _ := strings.Cut(cmd, " ")
	keyword = strings.ToUpper(keyword)
	switch keyword {
	case "CAPA":
		return s.capa()
	case "QUIT":
		return s.doQuit()
	}
	if s.drop == nil {
		return s.authorization(keyword, argument)
	}
	return s.transaction(keyword, argument)
}

// authorization answers the commands of the AUTHORIZATION state.
func (s *Session) authorization(keyword, argument string) error {
	switch keyword {
	case "USER":
		s.name = argument
		return s.ok("name taken, now the password")
	case "PASS":
		return s.pass(argument)
	case "APOP":
		return s.apop(argument)
	case "AUTH":
		return s.auth(argument)
	case "STLS":
		return s.stls()
	case "UTF8":
		return s.ok("UTF-8 it is")
	}
	return s.refuse("not a command of the AUTHORIZATION state")
}

// transaction answers the commands of the TRANSACTION state.
func (s *Session) transaction(keyword, argument string) error {
	switch keyword {
	case "STAT":
		return s.stat()
	case "LIST":
		return s.listing(argument, (*Message).listed)
	case "UIDL":
		return s.listing(argument, func(m *Message) string { return m.UniqueID })
	case "RETR":
		return s.retr(argument)
	case "TOP":
		return s.top(argument)
	case "DELE":
		return s.dele(argument)
	case "NOOP":
		return s.ok("")
	case "RSET":
		if s.effect {
			clear(s.deleted)
		}
		return s.ok("nothing is marked any more")
	}
	return s.refuse("not a command of the TRANSACTION state")
}

func (s *Session) capa() error {
	if s.config.Capabilities == nil {
		return s.refuse("no such command")
	}
	var lines strings.Builder
	for _, capability := range s.config.Capabilities {
		if capability == "STLS" && s.Secure() {
			continue // RFC 2595 section 4
		}
		lines.WriteString(capability + "\r\n")
	}
	if s.config.Expire0 {
		lines.WriteString("EXPIRE 0\r\n")
	}
	return s.multiLine("capabilities follow", lines.String())
}

// multiLine writes a positive reply with lines.
func (s *Session) multiLine(text, lines string) error {
	if err := s.ok("%s", text); err != nil {
		return err
	}
	_, err := s.w.Write(Stuff([]byte(lines)))
	return err
}

// doQuit deletes before it answers. So a client that has the reply can rely on the deletion.
func (s *Session) doQuit() error {
	if s.drop != nil && s.effect {
		if s.config.Expire0 {
			maps.Copy(s.deleted, s.shown)
		}
		s.drop.remove(s.deleted)
	}
	return s.ok("good bye")
}

// pass keeps blanks in the argument, because a password may contain them (RFC 1939 section 7).
func (s *Session) pass(password string) error {
	if s.name == "" {
		return s.refuse("USER comes first")
	}
	user := s.name
	s.name = ""
	if d := s.server.find(user); d == nil || d.password != password {
		return s.refuse("[AUTH] wrong user name or password")
	}
	return s.login(user)
}

func (s *Session) apop(argument string) error {
	if s.config.Timestamp == "" {
		return s.refuse("no such command")
	}
	user, digest, _ := strings.Cut(argument, " ")
	d := s.server.find(user)
	if d == nil {
		return s.refuse("[AUTH] wrong user name or digest")
	}
	sum := md5.Sum([]byte(s.config.Timestamp + d.password))
	if digest != hex.EncodeToString(sum[:]) {
		return s.refuse("[AUTH] wrong user name or digest")
	}
	return s.login(user)
}

// login opens the maildrop and sends the reply.
func (s *Session) login(user string) error {
	d := s.server.find(user)
	if d == nil {
		return s.refuse("[AUTH] no such user")
	}
	if !s.effect {
		return s.ok("maildrop open")
	}
	messages, ok := d.open()
	if !ok {
		return s.refuse("[IN-USE] another session has the maildrop")
	}
	s.drop, s.messages = d, messages
	s.deleted, s.shown = make(map[*Message]bool), make(map[*Message]bool)
	s.mu.Lock()
	s.user = user
	s.mu.Unlock()
	return s.ok("maildrop open")
}

func (s *Session) stls() error {
	if s.config.TLS == nil || s.Secure() {
		return s.refuse("no TLS here")
	}
	if err := s.ok("begin the handshake"); err != nil {
		return err
	}
	if !s.effect {
		return nil
	}
	if err := s.w.w.Flush(); err != nil {
		return err
	}
	if err := s.conn.startTLS(s.config.TLS); err != nil {
		return err
	}
	s.secured.Store(true)
	s.name = ""
	return nil
}

func (s *Session) stat() error {
	count, octets := 0, int64(0)
	for _, m := range s.messages {
		if !s.deleted[m] {
			count++
			octets += m.octets()
		}
	}
	return s.ok("%d %d", count, octets)
}

// listed returns the size of the message for LIST.
func (m *Message) listed() string {
	if m.Listed != "" {
		return m.Listed
	}
	return strconv.FormatInt(m.octets(), 10)
}

// listing answers LIST and UIDL, with or without an argument.
func (s *Session) listing(argument string, entry func(*Message) string) error {
	if argument != "" {
		m, err := s.message(argument)
		if err != nil {
			return s.refuse(err.Error())
		}
		return s.ok("%s %s", argument, entry(m))
	}
	if err := s.ok("a listing follows"); err != nil {
		return err
	}
	body := &dotWriter{w: s.w}
	for i, m := range s.messages {
		if s.deleted[m] {
			continue
		}
		if _, err := body.Write([]byte(strconv.Itoa(i+1) + " " + entry(m) + "\r\n")); err != nil {
			return err
		}
	}
	return body.Close()
}

// message returns the message with the number in argument.
func (s *Session) message(argument string) (*Message, error) {
	n, err := strconv.Atoi(argument)
	if err != nil || n < 1 || n > len(s.messages) {
		return nil, errors.New("no such message")
	}
	m := s.messages[n-1]
	if s.deleted[m] {
		return nil, errors.New("that message is deleted")
	}
	return m, nil
}

func (s *Session) retr(argument string) error {
	m, err := s.message(argument)
	if err != nil {
		return s.refuse(err.Error())
	}
	s.shown[m] = true
	if err := s.ok("%d octets", m.octets()); err != nil {
		return err
	}
	body := &dotWriter{w: s.w}
	if err := m.write(body); err != nil {
		return err
	}
	if err := body.Close(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retrieved = append(s.retrieved, m.UniqueID)
	return nil
}

func (s *Session) top(argument string) error {
	number, count, _ := strings.Cut(argument, " ")
	lines, err := strconv.ParseInt(count, 10, 64)
	if err != nil || lines < 0 {
		return s.refuse("how many lines?")
	}
	m, err := s.message(number)
	if err != nil {
		return s.refuse(err.Error())
	}
	s.shown[m] = true
	if err := s.ok("the top follows"); err != nil {
		return err
	}
	body := &dotWriter{w: s.w}
	err = m.write(&topWriter{w: body, lines: lines, blankLine: true})
	if err != nil && !errors.Is(err, errTopDone) {
		return err
	}
	return body.Close()
}

func (s *Session) dele(argument string) error {
	m, err := s.message(argument)
	if err != nil {
		return s.refuse(err.Error())
	}
	if s.effect {
		s.deleted[m] = true
	}
	return s.ok("deleted")
}
