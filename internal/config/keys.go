package config

import (
	"slices"
	"time"
)

// The names of the tables at the top of the file.
const (
	defaultsTable = "defaults"
	accountTable  = "account"
)

// MostJobs is the highest value of the key jobs.
const MostJobs = 1000

// topKeys are the keys before the first table.
var topKeys = table[Config]{
	{
		name: "state_dir", group: stateGroup, // the default depends on the environment: DefaultStateDir
		field: fill(func(c *Config) *string { return &c.StateDir }, text(value.path)),
		usage: "keep seen.db and locks in `DIR`",
	},
	{
		name: "state", group: stateGroup,
		field:     fill(func(c *Config) *StateURL { return &c.State }, stateURLs),
		hasSecret: hasPassword,
		aliases:   []string{"database", "dsn", "database_url", "postgres"},
		instead:   `write KEY = "postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full"`,
	},
	{
		name:  "state_password_command",
		field: fill(func(c *Config) *string { return &c.StatePasswordCommand }, text(value.command)),
		check: onePassword,
	},
	{
		name: "lease", preset: "60s",
		field: fill(func(c *Config) *time.Duration { return &c.Lease }, leases),
		means: (*Config).isShared,
		check: onlyShared,
	},
	{
		name: "accounts", preset: FromFile,
		field: fill(func(c *Config) *string { return &c.AccountsFrom }, accountSources),
		means: (*Config).isShared,
		check: sharedAccounts,
	},
	{
		name:  "accounts_key_file",
		field: fill(func(c *Config) *string { return &c.AccountsKeyFile }, text(value.path)),
		check: onlyShared,
	},
	{
		name: "jobs", preset: "4",
		field: fill(func(c *Config) *int { return &c.Jobs }, count(MostJobs)),
		usage: "at most `N` accounts at work at once", short: "j", number: true,
	},
	{
		name:    "include",
		field:   fill(func(c *Config) *[]string { return &c.include }, patterns),
		aliases: []string{"includes", "import", "source"},
		instead: `write KEY = ["conf.d/*.toml"]`,
	},
}

// The groups of an account follow. It has at most one password, and at most one way to connect. The
// group targetGroup has its targets. At the top of the file, the state is in one place (stateGroup).
const (
	passwordGroup group = iota + 1
	connectionGroup
	stateGroup
)

// accountKeys are the keys of an account and of [defaults].
var accountKeys = slices.Concat(serverKeys, ownTargetKeys, deliveryKeys, runKeys)

// serverKeys are the keys about the server and the log-in.
var serverKeys = table[Account]{
	{
		name: "server", example: `"pop.example.org"`,
		field:   fillName(func(a *Account) (name, written *string) { return &a.Server, &a.written.server }, value.address),
		usage:   "fetch from `HOST[:PORT]`; the configuration file is not read",
		aliases: []string{"host", "hostname", "port", "service", "address", "via"},
		instead: `write server = "HOST", or "HOST:PORT" if the port is not the usual one`,
	},
	{
		name: "tls", preset: "implicit",
		field:   fill(func(a *Account) *string { return &a.TLS }, oneOf("implicit", "starttls", "none")),
		usage:   "`MODE` is implicit, starttls or none",
		aliases: []string{"ssl", "use_ssl", "usessl", "sslproto", "starttls", "tls_starttls", "security", "encryption"},
		instead: `write tls = "implicit" (the default), "starttls" or "none"`,
	},
	{
		name: "connect_command", group: connectionGroup,
		field:   fill(func(a *Account) *string { return &a.ConnectCommand }, text(value.command)),
		aliases: []string{"plugin", "tunnel", "proxy_command"},
	},
	{
		name: "proxy", group: connectionGroup,
		field:     fill(func(a *Account) *Proxy { return &a.Proxy }, proxies),
		hasSecret: hasCredentials,
		aliases:   []string{"proxy_host", "proxy_port", "proxy_url", "socks", "socks5", "socks_proxy", "http_proxy", "all_proxy"},
		instead:   `write KEY = "socks5://HOST:PORT" or "http://HOST:PORT"`,
	},
	{
		name:     "tls_ca",
		field:    fill(func(a *Account) *string { return &a.TLSCA }, text(value.path)),
		needless: []func(*draft[Account]) string{withoutTLS, besideFingerprint},
		usage:    "trust the certificates in `FILE` too",
		aliases:  []string{"sslcertck", "sslcertfile", "sslcertpath", "tls_trust_file", "ca_certs", "tls_certcheck", "verify"},
		instead:  `certificates are always checked; for one that the system does not trust, write KEY = "FILE"`,
	},
	{
		name:     "tls_server_name",
		field:    fillName(func(a *Account) (name, written *string) { return &a.TLSServerName, &a.written.tlsServerName }, value.hostName),
		needless: []func(*draft[Account]) string{withoutTLS},
		usage:    "the server's certificate is one for `NAME`",
	},
	{
		name:     "tls_fingerprint",
		field:    fill(func(a *Account) *[]string { return &a.TLSFingerprint }, pins),
		needless: []func(*draft[Account]) string{withoutTLS},
		usage:    "trust only the certificate or key of this `SHA256`",
		aliases:  []string{"sslfingerprint", "ssl_fingerprints"},
	},
	{
		name:     "tls_cert",
		field:    fill(func(a *Account) *string { return &a.TLSCert }, text(value.path)),
		needless: []func(*draft[Account]) string{withoutTLS},
		check:    needsKey,
		aliases:  []string{"sslcert", "certfile"},
	},
	{
		name:     "tls_key",
		field:    fill(func(a *Account) *string { return &a.TLSKey }, text(value.path)),
		needless: []func(*draft[Account]) string{withoutTLS},
		check:    needsCertificate,
		aliases:  []string{"sslkey", "keyfile"},
	},
	{
		name:     "tls_ca_only",
		field:    fill(func(a *Account) *bool { return &a.TLSCAOnly }, allowance),
		needless: []func(*draft[Account]) string{withoutTLS, besideFingerprint},
		check:    needsAuthority,
	},
	{
		name:     "tls_min_version",
		field:    fill(func(a *Account) *string { return &a.TLSMinVersion }, minVersion),
		needless: []func(*draft[Account]) string{withoutTLS, besideLegacy},
		aliases:  []string{"tls_version", "sslversion", "ssl_version", "tls_minimum", "tls_min_proto"},
	},
	{
		name:     "tls_legacy",
		field:    fill(func(a *Account) *bool { return &a.TLSLegacy }, allowance),
		needless: []func(*draft[Account]) string{withoutTLS, besideMinVersion},
	},
	{
		name: "user", example: `"alice@example.org"`,
		field:   fill(func(a *Account) *string { return &a.User }, text(value.printable)),
		usage:   "log in as `NAME`",
		aliases: []string{"username", "login", "name"},
	},
	{
		name: "password", group: passwordGroup,
		field:    fill(func(a *Account) *string { return &a.Password.Password }, text(value.printable)),
		secret:   func(a *Account) []any { return []any{&a.Password.Command, &a.Password.File} },
		needless: []func(*draft[Account]) string{withoutSecret},
		aliases:  []string{"pass", "passwd"},
	},
	{
		name: "password_file", group: passwordGroup,
		field:    fill(func(a *Account) *string { return &a.Password.File }, text(value.secretFile)),
		needless: []func(*draft[Account]) string{withoutSecret},
		usage:    "the password is the first line of `FILE`",
		aliases:  []string{"passfile", "passwordfile"},
	},
	{
		name: "password_command", group: passwordGroup,
		field:    fill(func(a *Account) *string { return &a.Password.Command }, text(value.command)),
		needless: []func(*draft[Account]) string{withoutSecret},
		usage:    "the password is what `COMMAND` prints",
		aliases:  []string{"passwordeval", "passcmd", "pass_cmd", "passwordcommand"},
	},
	{
		name: "password_credential", group: passwordGroup,
		field:    fill(func(a *Account) *string { return &a.Password.Credential }, text(value.credential)),
		needless: []func(*draft[Account]) string{withoutSecret},
	},
	{
		name: "password_keyring", group: passwordGroup,
		field:    fill(func(a *Account) *string { return &a.Password.Keyring }, text(value.printable)),
		needless: []func(*draft[Account]) string{withoutSecret},
		aliases:  []string{"store_password_in_keyring"},
	},
	{
		name: "oauth", group: passwordGroup,
		field:    fillTable(func(a *Account) *OAuth { return &a.OAuth }, oauthKeys),
		needless: []func(*draft[Account]) string{withoutSecret},
		check:    oauthFits,
		aliases:  []string{"oauth2", "oauthbearer", "xoauth2"},
		instead:  `write [account.NAME.oauth] and the keys below it`,
	},
	{
		name:  "auth",
		field: fill(func(a *Account) *[]string { return &a.Auth }, mechanisms),
		check: mechanismsFit,
		usage: "log in by this `MECHANISM`",
	},
	{
		name: "credentials_charset", preset: "ascii",
		field: fill(func(a *Account) *string { return &a.CredentialsCharset }, oneOf("ascii", "utf-8", "iso-8859-1")),
		usage: "send a name or password beyond ASCII as `CHARSET`",
	},
}

// ownTargetKeys are the keys of the target that an account describes itself.
var ownTargetKeys = targetRows(targetHolder[Account]{
	of: func(a *Account) *Target { return &a.Target }, others: hasTargets,
	timeout: "5m", deliveries: "1", waits: (*Account).waits, counts: (*Account).counts,
	asks: func(d *draft[Account]) bool { return d.has(&d.result.FilterHeaders) },
})

// waits reports whether the account waits for programs or servers that take messages.
func (a *Account) waits() bool { return a.counts() || a.Filter != "" }

// counts reports whether the account may have several deliveries at once.
func (a *Account) counts() bool {
	return len(a.Deliver) > 0 || len(a.Routes) > 0 || a.FilterHeaders != "" || a.MDA != "" || len(a.MDAArgv) > 0 ||
		a.LMTP != "" || a.SMTP != "" || !a.IMAP.IsZero()
}

// hasTargets reports whether an account delivers to targets with a table of their own.
func hasTargets(d *draft[Account]) bool { return d.has(&d.result.Deliver) || d.has(&d.result.Routes) }

// deliveryKeys are the keys about what happens to messages before they reach a target.
var deliveryKeys = table[Account]{
	{
		name: "deliver", group: targetGroup,
		field:   fill(func(a *Account) *[]string { return &a.Deliver }, targetNames),
		aliases: []string{"targets", "deliver_to", "action", "actions"},
	},
	{
		name:    "route",
		field:   fillTables(func(a *Account) *[]Route { return &a.Routes }, routeKeys),
		check:   recipientsAreKnown,
		aliases: []string{"routes", "rule", "rules", "match", "multidrop", "locals"},
		instead: `write [[account.NAME.KEY]] and the keys below it`,
	},
	{
		name:    "envelope_header",
		field:   fill(func(a *Account) *[]string { return &a.EnvelopeHeader }, envelopeFields),
		aliases: []string{"envelope", "envelope_recipient", "recipient_header", "qvirtual"},
		instead: `write KEY = "Delivered-To", or another header in which the server names the recipient`,
	},
	{
		name:    "add_headers",
		field:   fill(func(a *Account) *[]string { return &a.AddHeaders }, addedHeaders),
		aliases: []string{"received_header", "delivered_to", "received", "invisible", "tracepolls"},
		instead: `messages stay as they came; for lines on top write KEY = ["received", "delivered-to"]`,
	},
	{
		name:    "filter",
		field:   fill(func(a *Account) *string { return &a.Filter }, text(value.command)),
		aliases: []string{"filter_command", "rewrite", "preprocess"},
	},
	{
		name:    "filter_headers",
		field:   fill(func(a *Account) *string { return &a.FilterHeaders }, text(value.command)),
		aliases: []string{"header_filter"},
	},
}

// runKeys are the keys about which messages are fetched and deleted, and when.
var runKeys = table[Account]{
	{
		name:    "delete",
		field:   orTable(func(a *Account) *Delete { return &a.Delete }, deletion, deleteKeys, Delete.isPlain),
		check:   deletesSomething,
		aliases: []string{"keep", "nokeep", "delete_after", "delete_after_days", "delete_bigger_than", "leave_on_server"},
		instead: `messages stay on the server unless delete = "delivered", or delete = "30d" (so long after delivery), is written`,
	},
	{
		name:    "max_size",
		field:   fill(func(a *Account) *int64 { return &a.MaxSize }, sizeOrNone),
		aliases: []string{"limit", "killsize", "skipsize", "max_message_size", "maximum_size"},
	},
	{
		name:    "max_messages",
		field:   fill(func(a *Account) *int { return &a.MaxMessages }, countOrNone(1_000_000_000)),
		aliases: []string{"fetchlimit", "max_messages_per_session"},
	},
	{
		name:    "max_octets",
		field:   fill(func(a *Account) *int64 { return &a.MaxOctets }, sizeOrNone),
		aliases: []string{"max_bytes", "max_bytes_per_session"},
	},
	{
		name:    "since",
		field:   fill(func(a *Account) *Since { return &a.Since }, oldest),
		aliases: []string{"max_age", "newer_than"},
	},
	{
		name:    "session_messages",
		field:   fill(func(a *Account) *int { return &a.SessionMessages }, countOrNone(1_000_000_000)),
		aliases: []string{"expunge"},
	},
	{
		name:  "initial",
		field: fill(func(a *Account) *Initial { return &a.Initial }, firstRun),
	},
	{
		name: "uidl", preset: "required",
		field: fill(func(a *Account) *string { return &a.UIDL }, oneOf("required", "fallback")),
	},
	{
		name: "new_uids", preset: "match",
		field: fill(func(a *Account) *string { return &a.NewUIDs }, oneOf("match", "fetch", "stop")),
	},
	{
		name: "quarantine_after", preset: "5",
		field: fill(func(a *Account) *int { return &a.QuarantineAfter }, count(1000)),
	},
	{
		name: "order", preset: "oldest",
		field: fill(func(a *Account) *string { return &a.Order }, oneOf("oldest", "newest")),
	},
	{
		name: "pipelining", preset: "auto",
		field: fill(func(a *Account) *string { return &a.Pipelining }, oneOf("auto", "never")),
	},
	{
		name: "timeout", preset: "60s",
		field: fill(func(a *Account) *time.Duration { return &a.Timeout }, duration),
	},
	{
		name:  "deadline",
		field: fill(func(a *Account) *time.Duration { return &a.Deadline }, durationOr("none")),
	},
	{
		name: "interval", preset: "5m",
		field:   fill(func(a *Account) *time.Duration { return &a.Interval }, durationOr("manual")),
		aliases: []string{"daemon", "poll_interval", "poll_every"},
		instead: `write interval = "5m"`,
	},
	{
		name:  "tell_after",
		field: fill(func(a *Account) *time.Duration { return &a.TellAfter }, durationOr("0s")),
	},
	{
		name:    "pre_command",
		field:   fill(func(a *Account) *string { return &a.PreCommand }, text(value.command)),
		aliases: []string{"preconnect", "pre_connect"},
	},
	{
		name:    "post_command",
		field:   fill(func(a *Account) *string { return &a.PostCommand }, text(value.command)),
		aliases: []string{"postconnect", "post_connect"},
	},
	{
		name:  "on_new",
		field: fill(func(a *Account) *string { return &a.OnNew }, text(value.command)),
	},
	{
		name:  "on_error",
		field: fill(func(a *Account) *string { return &a.OnError }, text(value.command)),
	},
	{
		name:  "on_recovered",
		field: fill(func(a *Account) *string { return &a.OnRecovered }, text(value.command)),
	},
	{
		name: "hook_timeout", preset: "60s",
		field: fill(func(a *Account) *time.Duration { return &a.HookTimeout }, duration),
	},
	{
		name:    "workers",
		field:   fill(func(a *Account) *[]string { return &a.Workers }, labels),
		aliases: []string{"worker", "label", "labels"},
	},
	{
		name: "enabled", preset: "true",
		field:   fill(func(a *Account) *bool { return &a.Enabled }, boolean),
		aliases: []string{"disabled"},
		instead: `write enabled = false`,
	},
}

// emptyAccount returns an account in which every key has its default.
func emptyAccount(name string) Account {
	a := Account{Name: name}
	accountKeys.reset(&a)
	return a
}

// Keys returns all known keys: those at the top of the file and those of an account. A key of a
// nested table has the name of the table before it.
func Keys() []string {
	return append(topKeys.known(), accountKeys.known()...)
}
