package poptest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// DovecotOptions are the options of [StartDovecot]. Nil means the zero value.
type DovecotOptions struct {
	// Users maps names to passwords. Nil means the user mrose with the password tanstaaf.
	Users map[string]string
	// Extra is added to the end of dovecot.conf.
	Extra string
	// Passdb is a passdb that is asked before the one of Users, if it has the mechanism.
	Passdb string
	// Kerberos is the KDC whose tickets GSSAPI takes. Nil means that GSSAPI is not offered.
	Kerberos *KDC
}

// Dovecot is a running Dovecot. It belongs to one test. It serves POP3 in clear text with STLS, and
// POP3 under implicit TLS. It knows PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-1, SCRAM-SHA-256, APOP and USER/PASS, and
// EXTERNAL by a client certificate of its authority. Each user has a Maildir. The methods may be
// called concurrently.
type Dovecot struct {
	// User and Password are those of one user. If there are several users, it is any of them.
	User, Password string

	t           TB
	dir         string // a short path, because paths of sockets must be short
	ca          *CA
	plain       int // its own ports; clients get those of the taps
	secure      int
	taps        [2]*tap // in clear, and under TLS
	maildirs    *maildirs
	stop        io.Closer // closing it ends the process
	ended       chan error
	certificate Certificate
}

// StartDovecot starts Dovecot in a folder of its own. It does not need root. If Dovecot is not
// installed, the test is skipped. With POPFETCH_TEST_DOVECOT=1 the test fails instead. If the test
// fails, it shows the log.
func StartDovecot(t TB, options *DovecotOptions) *Dovecot {
	t.Helper()
	program := findDovecot()
	if program == "" {
		if os.Getenv("POPFETCH_TEST_DOVECOT") == "1" {
			t.Fatalf("POPFETCH_TEST_DOVECOT=1, but Dovecot is not installed (Debian: dovecot-pop3d)")
		}
		t.Skipf("Dovecot is not installed (Debian: dovecot-pop3d)")
	}
	if options == nil {
		options = &DovecotOptions{}
	}
	users := options.Users
	if users == nil {
		users = map[string]string{"mrose": "tanstaaf"}
	}
	d := &Dovecot{t: t, ca: NewCA(t)}
	for d.User, d.Password = range users {
		break
	}
	d.certificate = d.ca.Server(Valid)
	// The ports are free now, but another process may take one before Dovecot does. So if Dovecot
	// ends early, try again.
	all := *options
	if options.Kerberos != nil {
		all.Extra += options.Kerberos.dovecot()
	}
	var err error
	for range 3 {
		if err = d.start(program, users, &all); err == nil {
			d.taps = [2]*tap{newTap(t, local(d.plain)), newTap(t, local(d.secure))}
			return d
		}
	}
	t.Fatalf("starting Dovecot: %v", err)
	return nil
}

// findDovecot returns the path of the program, or "". It also looks outside PATH: Debian has the
// program in /usr/sbin, and a user's PATH may lack that.
func findDovecot() string {
	for _, name := range []string{"dovecot", "/usr/sbin/dovecot", "/usr/local/sbin/dovecot"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Addr returns host and port for STLS, and for clear text if [InClear] says so.
func (d *Dovecot) Addr() string { return d.taps[0].addr() }

// TLSAddr returns host and port for implicit TLS.
func (d *Dovecot) TLSAddr() string { return d.taps[1].addr() }

// CA returns the authority of the server's certificate.
func (d *Dovecot) CA() *CA { return d.ca }

// start makes the folder, runs Dovecot in it, and waits for its greeting.
func (d *Dovecot) start(program string, users map[string]string, options *DovecotOptions) error {
	dir, err := os.MkdirTemp(shortTempDir(), "poptest-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	d.dir = dir
	d.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if d.plain, err = freePort(); err != nil {
		return err
	}
	if d.secure, err = freePort(); err != nil {
		return err
	}
	if err := d.writeFiles(users, options); err != nil {
		return err
	}
	if err := d.run(program); err != nil {
		return err
	}
	if err := d.awaitGreeting(); err != nil {
		_ = d.stop.Close()
		<-d.ended //nolint:errcheck // how it ended does not matter
		return fmt.Errorf("%w; its log:\n%s", err, d.log())
	}
	d.t.Cleanup(d.close)
	return nil
}

// shortTempDir returns a folder for temporary files. It is os.TempDir, unless this path is too
// long: the path of a socket has at most 108 octets on Linux. A test can set TMPDIR to have
// Dovecot's mail on a RAM disk.
func shortTempDir() string {
	if dir := os.TempDir(); len(dir) <= 40 {
		return dir
	}
	return "/tmp"
}

// run starts the program under a shell. The shell ends it when this process closes the shell's
// standard input. So Dovecot ends even if this process is killed and no cleanup runs.
func (d *Dovecot) run(program string) error {
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", `"$0" -F -c "$1" & cat >/dev/null; kill $!; wait`, program, d.path("dovecot.conf"))
	stop, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("opening a pipe: %w", err)
	}
	output, err := os.Create(d.path("output"))
	if err != nil {
		return fmt.Errorf("making a file for the output: %w", err)
	}
	defer func() { _ = output.Close() }()
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running %s: %w", program, err)
	}
	d.stop, d.ended = stop, make(chan error, 1)
	go func() { d.ended <- cmd.Wait() }()
	return nil
}

// awaitGreeting waits until Dovecot greets, for at most 10 s.
func (d *Dovecot) awaitGreeting() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	limit, _ := ctx.Deadline()
	var err error
	for ctx.Err() == nil {
		var c net.Conn
		if c, err = new(net.Dialer).DialContext(ctx, "tcp", local(d.plain)); err == nil {
			_ = c.SetDeadline(limit)
			var line string
			line, err = bufio.NewReader(c).ReadString('\n')
			_ = c.Close()
			if strings.HasPrefix(line, "+OK") {
				return nil
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("no greeting within 10 s: %w", err)
}

func (d *Dovecot) close() {
	_ = d.stop.Close()
	<-d.ended //nolint:errcheck // how it ended does not matter
	if d.t.Failed() {
		d.t.Logf("Dovecot's log:\n%s", d.log())
	}
}

// log returns the last lines of Dovecot's log and output.
func (d *Dovecot) log() string {
	var all strings.Builder
	for _, name := range []string{"log", "output"} {
		text, _ := os.ReadFile(d.path(name)) // A missing file is not shown.
		all.Write(text[max(0, len(text)-16<<10):])
	}
	return all.String()
}

func (d *Dovecot) path(name string) string { return filepath.Join(d.dir, name) }

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func freePort() (int, error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// writeFiles writes the configuration, the users and their Maildirs.
func (d *Dovecot) writeFiles(users map[string]string, options *DovecotOptions) error {
	owner, err := user.Current()
	if err != nil {
		return fmt.Errorf("looking up the current user: %w", err)
	}
	mail := owner
	root := owner.Uid == "0"
	if root { // Dovecot refuses to serve mail as root.
		if mail, err = user.Lookup("nobody"); err != nil {
			return fmt.Errorf("looking up the user nobody: %w", err)
		}
	}
	group, err := user.LookupGroupId(owner.Gid)
	if err != nil {
		return fmt.Errorf("looking up the group: %w", err)
	}
	if err := os.Chmod(d.dir, 0o755); err != nil {
		return fmt.Errorf("opening the folder to Dovecot's users: %w", err)
	}
	var list strings.Builder
	for name, password := range users {
		fmt.Fprintf(&list, "%s:{PLAIN}%s\n", name, password)
	}
	if err := os.WriteFile(d.path("users"), []byte(list.String()), 0o644); err != nil {
		return fmt.Errorf("writing the users: %w", err)
	}
	if d.maildirs, err = makeMaildirs(d.path("mail"), users, mail, root); err != nil {
		return err
	}
	conf, err := os.Create(d.path("dovecot.conf"))
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	defer func() { _ = conf.Close() }()
	err = dovecotConf.Execute(conf, map[string]any{
		"Dir": d.dir, "Plain": d.plain, "Secure": d.secure, "Cert": d.certificate, "CA": d.ca.File(),
		"Extra": options.Extra, "Passdb": options.Passdb,
		"Root": root, "User": owner.Username, "Group": group.Name, "UID": mail.Uid, "GID": mail.Gid,
	})
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return nil
}

// dovecotConf has no delay after a wrong password; anvil's penalty is such a delay too. It allows
// many sessions. Its login processes serve more than one connection, as busy sites configure them.
var dovecotConf = template.Must(template.New("dovecot.conf").Parse(`
base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/state
log_path = {{.Dir}}/log
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{{.Cert.CertFile}}
ssl_key = <{{.Cert.KeyFile}}
ssl_min_protocol = TLSv1.2
ssl_ca = <{{.CA}}
ssl_verify_client_cert = yes
ssl_require_crl = no
auth_ssl_username_from_cert = yes
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256 apop external
auth_failure_delay = 0
auth_verbose = yes
{{.Passdb}}
passdb {
  driver = static
  mechanisms = external
  args = nopassword
}
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {{.Dir}}/users
}
userdb {
  driver = static
  args = uid={{.UID}} gid={{.GID}} home={{.Dir}}/mail/%u
}
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_fsync = never
mail_max_userip_connections = 200
maildir_very_dirty_syncs = yes
default_vsz_limit = 1G
service pop3-login {
  service_count = 0
  process_min_avail = 1
  {{if not .Root}}chroot ={{end}}
  inet_listener pop3 {
    port = {{.Plain}}
  }
  inet_listener pop3s {
    port = {{.Secure}}
    ssl = yes
  }
}
service pop3 {
  process_limit = 200
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
{{- if not .Root}}
default_internal_user = {{.User}}
default_internal_group = {{.Group}}
default_login_user = {{.User}}
service anvil {
  chroot =
}
service stats {
  chroot =
}
{{- end}}
{{.Extra}}
`))
