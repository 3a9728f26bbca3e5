package kerberos

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The tokens of a context that is being established (RFC 4121 section 4.1).
const (
	tokenRequest = 0x0100
	tokenReply   = 0x0200
	tokenError   = 0x0300
)

// mechanism is the object identifier of Kerberos in DER: 1.2.840.113554.1.2.2.
var mechanism = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}

// frame returns a token for a Kerberos message (RFC 2743 section 3.1).
func frame(kind uint16, message []byte) []byte {
	n := len(mechanism) + 2 + len(message)
	token := append([]byte{0x60}, derLength(n)...)
	token = append(token, mechanism...)
	token = binary.BigEndian.AppendUint16(token, kind)
	return append(token, message...)
}

// derLength returns a length in DER, for less than 2^32 octets.
func derLength(n int) []byte {
	if n < 0x80 {
		return []byte{byte(n)}
	}
	digits := bytes.TrimLeft(binary.BigEndian.AppendUint32(nil, uint32(n)), "\x00")
	return append([]byte{0x80 | byte(len(digits))}, digits...)
}

// unframe returns the Kerberos message in a token, and its kind.
func unframe(token []byte) (kind uint16, message []byte, err error) {
	no := errors.New("no token of Kerberos")
	for octets := 1; octets <= 5; octets++ { // of the length
		if len(token) < 1+octets {
			return 0, nil, no
		}
		rest := token[1+octets:]
		if token[0] != 0x60 || !bytes.Equal(token[1:1+octets], derLength(len(rest))) {
			continue
		}
		rest, ok := bytes.CutPrefix(rest, mechanism)
		if !ok || len(rest) < 2 {
			return 0, nil, no
		}
		return binary.BigEndian.Uint16(rest), rest[2:], nil
	}
	return 0, nil, no
}

// The header of a wrap token, and its flags (RFC 4121 section 4.2).
const (
	wrapHeader = 16

	sentByAcceptor = 1
	sealed         = 2
	acceptorSubkey = 4
)

var wrapToken = []byte{5, 4}

// wrapHead returns the header of a wrap token without rotation.
func wrapHead(flags byte, checksum uint16, number uint64) []byte {
	head := append(bytes.Clone(wrapToken), flags, 0xff)
	head = binary.BigEndian.AppendUint16(head, checksum)
	head = append(head, 0, 0)
	return binary.BigEndian.AppendUint64(head, number)
}
