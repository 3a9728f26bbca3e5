package config

import (
	"fmt"
	"net"
	"slices"
)

// The rules about several keys of an account. A rule names a key by the address
// of its field.

// mda is the key that the keys about a program that is started belong to.
func mda(a *Account) any { return &a.MDA }

// withoutTLS tells that a key about TLS has no meaning without TLS.
func withoutTLS(d *draft[Account]) string {
	if d.result.TLS != "none" {
		return ""
	}
	return "has no meaning where " + d.named(&d.result.TLS) + " is none"
}

// besideFingerprint tells that a fingerprint takes the place of certificates.
func besideFingerprint(d *draft[Account]) string {
	fingerprint := &d.result.TLSFingerprint
	if !d.has(fingerprint) {
		return ""
	}
	return "is not looked at beside " + d.named(fingerprint)
}

// besideExternal tells that the external mechanism alone needs no password.
func besideExternal(d *draft[Account]) string {
	if !slices.Equal(d.result.Auth, []string{"external"}) {
		return ""
	}
	return "is not used where " + d.named(&d.result.Auth) + " is external alone"
}

// needsKey checks that a certificate has its private key.
func needsKey(d *draft[Account]) error {
	if d.has(&d.result.TLSKey) {
		return nil
	}
	return fmt.Errorf("lacks its private key; write %s too", d.name(&d.result.TLSKey))
}

// needsCertificate checks that a private key has its certificate.
func needsCertificate(d *draft[Account]) error {
	if d.has(&d.result.TLSCert) {
		return nil
	}
	return fmt.Errorf("lacks its certificate; write %s too", d.name(&d.result.TLSCert))
}

// externalNeedsCertificate checks that the external mechanism has a certificate.
func externalNeedsCertificate(d *draft[Account]) error {
	if !slices.Contains(d.result.Auth, "external") || d.has(&d.result.TLSCert) {
		return nil
	}
	return fmt.Errorf(`"external" logs in by a certificate; write %s and %s, or remove it`,
		d.name(&d.result.TLSCert), d.name(&d.result.TLSKey))
}

// fillPort gives the server the port that is usual for the kind of TLS, if none is
// written (RFC 8314 section 7.3, RFC 1939 section 3). It returns the host.
func fillPort(a *Account) (host string) {
	host, port, err := net.SplitHostPort(a.Server)
	if err == nil && port == "" {
		port = "995"
		if a.TLS != "implicit" {
			port = "110"
		}
		a.Server = net.JoinHostPort(host, port)
	}
	return host
}
