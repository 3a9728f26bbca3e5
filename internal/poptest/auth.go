package poptest

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
)

// Mechanism is the server's side of a SASL mechanism. initial is the client's initial response, or
// nil if there was none. ask sends a challenge and returns the client's response. Mechanism returns
// the user who is logged in, or an error. The text of the error is the text of the negative reply.
// Mechanism must pass on an error from ask.
type Mechanism func(s *Session, initial []byte, ask func(challenge []byte) (response []byte, err error)) (user string, err error)

var (
	errCancelled = errors.New("the exchange is cancelled")
	errBase64    = errors.New("this is not base64")
	errWrong     = errors.New("[AUTH] wrong user name or password")
)

// auth answers AUTH (RFC 5034 section 4). Without an argument it lists the mechanisms, as some
// servers do.
func (s *Session) auth(argument string) error {
	if argument == "" {
		names := slices.Sorted(maps.Keys(s.config.Mechanisms))
		return s.multiLine("mechanisms follow", strings.Join(names, "\r\n")+"\r\n")
	}
	name, encoded, given := strings.Cut(argument, " ")
	mechanism := s.config.Mechanisms[strings.ToUpper(name)]
	if mechanism == nil {
		return s.refuse("no such mechanism")
	}
	var initial []byte
	if given {
		var err error
		if initial, err = decode(encoded); err != nil {
			return s.refuse(err.Error())
		}
	}
	var broken error // an error of the connection, not of the client
	ask := func(challenge []byte) ([]byte, error) {
		response, err := s.challenge(challenge)
		if err != nil && !errors.Is(err, errCancelled) && !errors.Is(err, errBase64) {
			broken = err
		}
		return response, err
	}
	user, err := mechanism(s, initial, ask)
	switch {
	case broken != nil:
		return broken
	case err != nil:
		return s.refuse(err.Error())
	}
	return s.login(user)
}

// decode decodes base64. "=" is an empty initial response (RFC 5034 section 4).
func decode(encoded string) ([]byte, error) {
	if encoded == "=" {
		return []byte{}, nil
	}
	octets, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, errBase64
	}
	return octets, nil
}

// challenge sends a challenge and reads the client's response.
func (s *Session) challenge(challenge []byte) ([]byte, error) {
	if _, err := s.w.Write([]byte("+ " + base64.StdEncoding.EncodeToString(challenge) + "\r\n")); err != nil {
		return nil, err
	}
	s.settle()
	line, err := s.readLine()
	if len(line) > 0 {
		s.open(exchange{line: line, continuation: true})
	}
	if err != nil {
		return nil, err
	}
	text := strings.TrimRight(string(line), "\r\n")
	if text == "*" {
		return nil, errCancelled
	}
	return decode(text)
}

// plainMechanism is PLAIN (RFC 4616).
func (s *Server) plainMechanism(_ *Session, initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
	if initial == nil {
		var err error
		if initial, err = ask(nil); err != nil {
			return "", err
		}
	}
	fields := bytes.Split(initial, []byte{0})
	if len(fields) != 3 {
		return "", errWrong
	}
	if as := string(fields[0]); as != "" && as != string(fields[1]) {
		return "", errors.New("[AUTH] not allowed to act for another user")
	}
	return s.checkPassword(string(fields[1]), string(fields[2]))
}

// loginMechanism is LOGIN. No RFC describes it. The server asks for the name and the password. The
// name may come as the initial response.
func (s *Server) loginMechanism(_ *Session, initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
	name := initial
	if name == nil {
		var err error
		if name, err = ask([]byte("Username:")); err != nil {
			return "", err
		}
	}
	password, err := ask([]byte("Password:"))
	if err != nil {
		return "", err
	}
	return s.checkPassword(string(name), string(password))
}

func (s *Server) checkPassword(user, password string) (string, error) {
	if d := s.find(user); d == nil || d.password != password {
		return "", errWrong
	}
	return user, nil
}

// externalMechanism is EXTERNAL (RFC 4422 appendix A). The user is the common name in the client's
// certificate.
func externalMechanism(s *Session, initial []byte, ask func([]byte) ([]byte, error)) (string, error) {
	if initial == nil {
		var err error
		if initial, err = ask(nil); err != nil {
			return "", err
		}
	}
	secure, ok := s.conn.stream.(*tls.Conn)
	if !ok {
		return "", errors.New("[AUTH] EXTERNAL needs TLS")
	}
	certificates := secure.ConnectionState().PeerCertificates
	if len(certificates) == 0 {
		return "", errors.New("[AUTH] EXTERNAL needs a client certificate")
	}
	user := certificates[0].Subject.CommonName
	if as := string(initial); as != "" && as != user {
		return "", errors.New("[AUTH] not allowed to act for another user")
	}
	return user, nil
}
