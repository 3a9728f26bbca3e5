package kerberos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/jcmturner/gokrb5/v8/config"

	"github.com/popfetch/popfetch/internal/escape"
)

// Places are where the user's tickets and the settings of Kerberos are. The zero value means the
// usual places.
type Places struct {
	Cache  string // KRB5CCNAME: a path, or a kind, a colon and a name
	Config string // KRB5_CONFIG: paths with colons between
}

// settings is what krb5.conf says.
type settings struct {
	conf  *config.Config
	cache string // default_ccache_name
}

// cacheLine is the line of krb5.conf about the cache, which gokrb5 does not read.
var cacheLine = regexp.MustCompile(`(?m)^[ \t]*default_ccache_name[ \t]*=[ \t]*(\S+)`)

// settings reads krb5.conf. A missing file is an empty one, as for MIT Kerberos.
func (p Places) settings() (*settings, error) {
	paths := p.Config
	if paths == "" {
		paths = "/etc/krb5.conf"
	}
	read := sections{}
	// KDCs are found by DNS unless the file says no; gokrb5's default is the other way round.
	read["libdefaults"] = "dns_lookup_kdc = true\n"
	for _, path := range filepath.SplitList(paths) {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := read.add(path, maxIncludes); err != nil {
			return nil, fmt.Errorf("reading krb5.conf: %w", err)
		}
	}
	s := &settings{}
	if line := cacheLine.FindStringSubmatch(read["libdefaults"]); line != nil {
		s.cache = line[1]
	}
	err := guard(func() (err error) {
		s.conf, err = config.NewFromString(read.text())
		return err
	})
	var unsupported config.UnsupportedDirective
	if err != nil && !errors.As(err, &unsupported) {
		return nil, fmt.Errorf("gokrb5 cannot read %s: %s", paths, escape.Text([]byte(err.Error()), 200))
	}
	l := &s.conf.LibDefaults
	l.DefaultTGSEnctypeIDs = etypes
	// The ticket is for one service now. A KDC refuses it if the cached one has less than is asked.
	l.Forwardable, l.Proxiable, l.RenewLifetime = false, false, 0
	return s, nil
}

// path returns the path of the ticket cache.
func (p Places) path(s *settings) (string, error) {
	name := p.Cache
	if name == "" {
		name = s.cache
	}
	uid := strconv.Itoa(os.Getuid())
	if name == "" {
		name = "FILE:/tmp/krb5cc_" + uid
	}
	name = strings.NewReplacer("%{uid}", uid, "%{euid}", strconv.Itoa(os.Geteuid()), "%{USERID}", uid).Replace(name)
	kind, path, named := strings.Cut(name, ":")
	switch {
	case strings.HasPrefix(name, "/"):
		return name, nil
	case named && kind == "FILE" && !strings.Contains(path, "%{"):
		return path, nil
	}
	return "", fmt.Errorf("the ticket cache is %s, and popfetch reads only files; set KRB5CCNAME to a path for both kinit and popfetch",
		escape.Text([]byte(name), 200))
}
