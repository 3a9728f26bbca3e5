package login_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"
	"unicode/utf16"

	"github.com/popfetch/popfetch/internal/login"
	"github.com/popfetch/popfetch/internal/poptest"
	"github.com/popfetch/popfetch/pop3"
)

// ntowf is the hash of the password "Password" of Domain\User ([MS-NLMP] section 4.2.4.1.1).
const ntowf = "0c868a403bfd7a93a3001ef22ef02e3f"

// ntlmChallenge is a CHALLENGE message ([MS-NLMP] section 2.2.1.2) with the server challenge of
// section 4.2.1, for these flags.
func ntlmChallenge(flags uint32) []byte {
	info := []byte{2, 0, 12, 0, 'D', 0, 'o', 0, 'm', 0, 'a', 0, 'i', 0, 'n', 0, 0, 0, 0, 0}
	m := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0)
	m = binary.LittleEndian.AppendUint32(m, flags)
	m = append(m, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef)
	m = append(m, make([]byte, 8)...)
	m = append(m, byte(len(info)), 0, byte(len(info)), 0, 48, 0, 0, 0)
	return append(m, info...)
}

// ntlmField returns a field of an AUTHENTICATE message.
func ntlmField(m []byte, at int) []byte {
	length, begin := binary.LittleEndian.Uint16(m[at:]), binary.LittleEndian.Uint32(m[at+4:])
	return m[begin : begin+uint32(length)]
}

// isRight reports whether an AUTHENTICATE message proves the password by NTLMv2 ([MS-NLMP] section
// 3.3.2).
func isRight(m []byte) bool {
	text := func(field []byte) string {
		units := make([]uint16, len(field)/2)
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(field[2*i:])
		}
		return string(utf16.Decode(units))
	}
	key, _ := hex.DecodeString(ntowf)
	response := ntlmField(m, 20)
	mac := hmac.New(md5.New, key)
	mac.Write([]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef})
	mac.Write(response[16:])
	return text(ntlmField(m, 28)) == "Domain" && text(ntlmField(m, 36)) == "User" && hmac.Equal(mac.Sum(nil), response[:16])
}

// NTLM proves the password by NTLMv2, and only under TLS and if it is named.
func TestNTLM(t *testing.T) {
	const unicodeNTLM, lmKey = 0x201, 0x80 // flags
	right := ntlmChallenge(unicodeNTLM)
	for _, test := range []struct {
		name, password string
		challenge      []byte
		mode           pop3.TLSMode
		named          bool
		want           login.Fault
	}{
		{"right", "Password", right, pop3.TLSImplicit, true, 0},
		{"wrong", "password", right, pop3.TLSImplicit, true, login.Refused},
		{"in clear", "Password", right, pop3.TLSNone, true, login.Cannot},
		{"not named", "Password", right, pop3.TLSImplicit, false, login.Cannot},
		{"version 1", "Password", ntlmChallenge(unicodeNTLM | lmKey), pop3.TLSImplicit, true, login.Cannot},
		{"no challenge", "Password", []byte("NTLM is not here"), pop3.TLSImplicit, true, login.Cannot},
		{"cut", "Password", right[:50], pop3.TLSImplicit, true, login.Cannot},
	} {
		t.Run("OX-1/"+test.name, func(t *testing.T) {
			t.Parallel()
			server := poptest.NewServer(t, poptest.Maildrop{User: "mrose", Password: "x"})
			server.Configure(func(c *poptest.Config) {
				c.Capabilities = []string{"SASL NTLM", "UIDL"}
				c.Mechanisms["NTLM"] = func(_ *poptest.Session, _ []byte, ask func([]byte) ([]byte, error)) (string, error) {
					first, err := ask(nil)
					if err != nil {
						return "", err
					}
					if !bytes.HasPrefix(first, []byte("NTLMSSP\x00\x01\x00\x00\x00")) {
						return "", errors.New("[SYS/PERM] no NEGOTIATE message")
					}
					second, err := ask(test.challenge)
					if err != nil {
						return "", err
					}
					if !isRight(second) {
						return "", errors.New("[AUTH] no")
					}
					return "mrose", nil
				}
			})
			addr := server.TLSAddr()
			if test.mode == pop3.TLSNone {
				addr = server.Addr()
			}
			c, err := pop3.Dial(t.Context(), addr, &pop3.Options{TLS: test.mode, TLSConfig: server.CA().ClientTLS("127.0.0.1")})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := c.Capa(t.Context()); err != nil {
				t.Fatal(err)
			}
			cr := credentialsOf(test.password)
			cr.User = `Domain\User`
			if test.named {
				cr.Mechanisms = []login.Mechanism{login.NTLM}
			}
			err = endSession(t, c, cr.Login(t.Context(), c, nil))
			if test.want == 0 {
				noError(t, err)
			} else {
				checkFault(t, err, test.want)
			}
			if test.mode == pop3.TLSNone || !test.named {
				checkCount(t, server, "AUTH", 0)
			}
			server.CheckRules(t)
		})
	}
}
