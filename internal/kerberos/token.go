package kerberos

import (
	"bytes"
	"encoding/asn1"
	"encoding/binary"
	"errors"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
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
	token := binary.BigEndian.AppendUint16(bytes.Clone(mechanism), kind)
	return asn1tools.AddASNAppTag(append(token, message...), 0)
}

// unframe returns the Kerberos message in a token, and its kind.
func unframe(token []byte) (kind uint16, message []byte, err error) {
	var raw asn1.RawValue
	rest, err := asn1.Unmarshal(token, &raw)
	framed, ok := bytes.CutPrefix(raw.Bytes, mechanism)
	switch {
	case err != nil, len(rest) > 0, !ok, len(framed) < 2,
		raw.Class != asn1.ClassApplication, raw.Tag != 0, !raw.IsCompound:
		return 0, nil, errors.New("no token of Kerberos")
	}
	return binary.BigEndian.Uint16(framed), framed[2:], nil
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
