package kerberos

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/config"
)

// Places are where the user's tickets and the settings of Kerberos are. The zero value means the
// usual places.
type Places struct {
	Cache  string // KRB5CCNAME: a path, or a kind, a colon and a name
	Config string // KRB5_CONFIG: paths with colons between
}

// settings is what krb5.conf says.
type settings struct {
	profile profile
	conf    *config.Config // for gokrb5
	dns     bool           // KDCs are looked up in DNS
}

// settings reads krb5.conf. A missing file is an empty one, as for MIT Kerberos.
func (p Places) settings() (*settings, error) {
	paths := p.Config
	if paths == "" {
		paths = "/etc/krb5.conf"
	}
	read := profile{}
	for _, path := range filepath.SplitList(paths) {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) || path == os.DevNull {
			continue
		}
		if err := read.add(path, maxIncludes); err != nil {
			return nil, fmt.Errorf("reading krb5.conf: %w", err)
		}
	}
	s := &settings{profile: read, conf: config.New()}
	if err := s.fill(); err != nil {
		return nil, fmt.Errorf("in %s, %w", paths, err)
	}
	return s, nil
}

// fill sets what gokrb5 and this package need of krb5.conf, with the defaults of MIT Kerberos. The
// ticket is asked for one service now, so what it may be used for later does not matter.
func (s *settings) fill() (err error) {
	l := &s.conf.LibDefaults
	l.DefaultTGSEnctypeIDs = etypes
	if l.Canonicalize, err = s.profile.isYes("canonicalize", false); err != nil {
		return err
	}
	if l.NoAddresses, err = s.profile.isYes("noaddresses", true); err != nil {
		return err
	}
	if s.dns, err = s.profile.isYes("dns_lookup_kdc", true); err != nil {
		return err
	}
	l.Clockskew, err = s.profile.duration("clockskew", 5*time.Minute)
	return err
}

// realm returns the realm of a host, or "" if krb5.conf does not say it. The longest name counts that
// the host has or ends in.
func (s *settings) realm(host string) string {
	for name, found := host, true; found; _, name, found = strings.Cut(name, ".") {
		names := []string{"." + name, name} // all hosts below it, also without a dot
		if name == host {
			names = []string{name}
		}
		for _, name := range names {
			if values := s.profile.values("domain_realm", name); len(values) > 0 {
				return values[0]
			}
		}
	}
	return ""
}

// path returns the path of the ticket cache.
func (p Places) path(s *settings) (string, error) {
	name := cmp.Or(p.Cache, s.profile.value("default_ccache_name"))
	uid := strconv.Itoa(os.Getuid())
	if name == "" {
		name = "FILE:/tmp/krb5cc_" + uid
	}
	name = strings.NewReplacer("%{uid}", uid, "%{euid}", strconv.Itoa(os.Geteuid()), "%{USERID}", uid).Replace(name)
	kind, path, named := strings.Cut(name, ":")
	switch {
	case strings.HasPrefix(name, "/") || !named:
		kind, path = "FILE", name
	case kind == "DIR" && strings.HasPrefix(path, ":"): // one file of the folder
		kind, path = "FILE", path[1:]
	}
	switch {
	case kind != "FILE":
		return "", fmt.Errorf("the ticket cache is %s, and popfetch reads only files; set KRB5CCNAME to a path for both kinit and popfetch",
			show(name))
	case strings.Contains(path, "%{"):
		return "", fmt.Errorf("popfetch does not know the variable in the name of the ticket cache, %s; set KRB5CCNAME to a path", show(name))
	}
	return path, nil
}
