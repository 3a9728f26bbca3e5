package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// These are rules about several keys of an account. A rule names a key by the address of its field.

// withoutTLS returns why a key about TLS has no meaning without TLS, or "".
func withoutTLS(d *draft[Account]) string {
	if d.result.TLS != "none" {
		return ""
	}
	return "has no meaning where " + d.named(&d.result.TLS) + " is none"
}

// besideFingerprint returns why certificates are not checked if there is a fingerprint, or "".
func besideFingerprint(d *draft[Account]) string {
	fingerprint := &d.result.TLSFingerprint
	if !d.has(fingerprint) {
		return ""
	}
	return "is not used together with " + d.named(fingerprint)
}

// secretless are the mechanisms that use neither a password nor an access token.
var secretless = []string{"external", "gssapi"}

// Secretless reports whether no mechanism of the account uses a password or an access token.
func (a *Account) Secretless() bool {
	other := func(name string) bool { return !slices.Contains(secretless, name) }
	return len(a.Auth) > 0 && !slices.ContainsFunc(a.Auth, other)
}

// withoutSecret returns why no password is needed if no mechanism uses one, or "".
func withoutSecret(d *draft[Account]) string {
	if !d.result.Secretless() {
		return ""
	}
	return "is not used where " + d.named(&d.result.Auth) + " is " + strings.Join(d.result.Auth, " and ") + " alone"
}

// besideMinVersion returns why old versions of TLS are not allowed, or "".
func besideMinVersion(d *draft[Account]) string {
	version := &d.result.TLSMinVersion
	if !d.result.TLSLegacy || !d.has(version) {
		return ""
	}
	return "contradicts " + d.named(version)
}

// besideLegacy returns why an inherited oldest version of TLS does not hold, or "". Otherwise
// besideMinVersion would complain of a key that is not in this table.
func besideLegacy(d *draft[Account]) string {
	inherited := d.settings[d.name(&d.result.TLSMinVersion)].inherited
	if legacy := &d.result.TLSLegacy; *legacy && inherited && !d.settings[d.name(legacy)].inherited {
		return "contradicts " + d.named(legacy)
	}
	return ""
}

// needsAuthority checks that somebody is trusted if the system's authorities are not.
func needsAuthority(d *draft[Account]) error {
	if !d.result.TLSCAOnly || d.has(&d.result.TLSCA) {
		return nil
	}
	return fmt.Errorf("trusts nobody; write %s too", d.name(&d.result.TLSCA))
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

// mechanismsFit checks that the account has what its mechanisms need.
func mechanismsFit(d *draft[Account]) error {
	if err := externalNeedsCertificate(d); err != nil {
		return err
	}
	return tokenMechanismsNeedOAuth(d)
}

// externalNeedsCertificate checks that the external mechanism has a certificate.
func externalNeedsCertificate(d *draft[Account]) error {
	if !slices.Contains(d.result.Auth, "external") || d.has(&d.result.TLSCert) {
		return nil
	}
	return fmt.Errorf(`"external" logs in by a certificate; write %s and %s, or remove it`,
		d.name(&d.result.TLSCert), d.name(&d.result.TLSKey))
}

// fillPort adds the usual port to a server without port. It depends on the kind of TLS
// (RFC 8314 section 7.3, RFC 1939 section 3). fillPort returns the host as it is written.
func fillPort(a *Account) (host string) {
	usual := "995"
	if a.TLS != "implicit" {
		usual = "110"
	}
	for _, server := range []*string{&a.Server, &a.written.server} {
		name, port, err := net.SplitHostPort(*server)
		if err != nil { // nothing is written in another way
			break
		}
		host = name
		if port == "" {
			*server = net.JoinHostPort(host, usual)
		}
	}
	return host
}
