// Package config reads the configuration file into checked values.
package config

import (
	"time"
)

// Config is a whole configuration, checked.
type Config struct {
	File     string // "" for one-shot use
	StateDir string // absolute
	Jobs     int
	Accounts []Account // in the file's order
}

// Account is one account, checked and with [defaults] applied. A field bears its key's name.
type Account struct {
	Name           string
	Server         string // host:port, host in lower case, port filled in
	TLS            string // implicit, starttls, none
	TLSCA          string
	TLSServerName  string
	TLSFingerprint []string // lower-case hexadecimal SHA-256
	TLSCert        string
	TLSKey         string
	User           string
	Password       Secret
	Auth           []string // empty: auto
	Maildir        string   // absolute
	MDA            string
	MDATimeout     time.Duration
	MaxDeliveries  int
	Delete         Delete
	MaxSize        int64
	Order          string // oldest, newest
	Pipelining     string // auto, never
	Timeout        time.Duration
	Deadline       time.Duration // 0: none
	Interval       time.Duration // 0: manual
	Enabled        bool
}

// Delete is the value of delete: the zero value never deletes.
type Delete struct {
	Enabled bool
	After   time.Duration
}

// Secret says where a password comes from; exactly one field is set, or none (ask on the terminal).
type Secret struct {
	Password   string
	File       string
	Command    string
	Credential string
}

// Error is one mistake of a configuration.
type Error struct {
	File string // "" for the command line
	Line int    // 0: none
	Key  string // dotted path, or the option
	Err  error
}
