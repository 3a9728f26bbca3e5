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

// DovecotOptions are for [StartDovecot]; nil means the zero value.
type DovecotOptions struct {
	// Users maps names to passwords; nil: mrose with tanstaaf.
	Users map[string]string
	// Extra is added to the end of dovecot.conf.
	Extra string
}

// Dovecot is a running Dovecot of a test's own: POP3 in clear text with STLS, and under implicit TLS; PLAIN, LOGIN, CRAM-MD5,
// SCRAM-SHA-256, APOP and USER/PASS; a Maildir for each user. Its methods may be called concurrently.
type Dovecot struct {
	// User and Password are those of a user, of the only one if there is one.
	User, Password string

	t           TB
	dir         string // short, since the paths of sockets must be
	ca          *CA
	plain       int
	secure      int
	maildirs    *maildirs
	stop        io.Closer // closing it ends the process
	ended       chan error
	certificate Certificate
}

// StartDovecot starts Dovecot in a private folder, as root or not. The test is skipped where Dovecot is not installed, or
// fails if POPFETCH_TEST_DOVECOT=1 demands it. The log is shown when the test fails.
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
	// The ports are free now; another process may take one before Dovecot does, so an early end gets another try.
	var err error
	for range 3 {
		if err = d.start(program, users, options.Extra); err == nil {
			return d
		}
	}
	t.Fatalf("starting Dovecot: %v", err)
	return nil
}

// findDovecot looks beyond PATH: Debian has the program in /usr/sbin, which a user's PATH may lack.
func findDovecot() string {
	for _, name := range []string{"dovecot", "/usr/sbin/dovecot", "/usr/local/sbin/dovecot"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Addr returns host and port for clear text and STLS.
func (d *Dovecot) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.plain)) }

// TLSAddr returns host and port for implicit TLS.
func (d *Dovecot) TLSAddr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.secure)) }

// CA returns the authority of the server's certificate.
func (d *Dovecot) CA() *CA { return d.ca }

// start makes the folder and runs Dovecot in it until it greets.
func (d *Dovecot) start(program string, users map[string]string, extra string) error {
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
	if err := d.writeFiles(users, extra); err != nil {
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

// shortTempDir is the folder for temporary files, unless the path of a socket below it would be too long (108 octets on
// Linux). It is the place to have Dovecot's mail on a RAM disk.
func shortTempDir() string {
	if dir := os.TempDir(); len(dir) <= 40 {
		return dir
	}
	return "/tmp"
}

// run starts the program under a shell that ends it when this process closes its standard input: also when the process
// is killed and no cleanup runs.
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

// awaitGreeting returns when Dovecot greets.
func (d *Dovecot) awaitGreeting() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	limit, _ := ctx.Deadline()
	var err error
	for ctx.Err() == nil {
		var c net.Conn
		if c, err = new(net.Dialer).DialContext(ctx, "tcp", d.Addr()); err == nil {
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

// log returns the end of what Dovecot logged and printed.
func (d *Dovecot) log() string {
	var all strings.Builder
	for _, name := range []string{"log", "output"} {
		text, _ := os.ReadFile(d.path(name)) // What is not there is not shown.
		all.Write(text[max(0, len(text)-16<<10):])
	}
	return all.String()
}

func (d *Dovecot) path(name string) string { return filepath.Join(d.dir, name) }

func freePort() (int, error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// writeFiles writes the configuration, the users and their Maildirs.
func (d *Dovecot) writeFiles(users map[string]string, extra string) error {
	owner, err := user.Current()
	if err != nil {
		return fmt.Errorf("who runs this: %w", err)
	}
	mail := owner
	root := owner.Uid == "0"
	if root { // Dovecot serves no mail of root.
		if mail, err = user.Lookup("nobody"); err != nil {
			return fmt.Errorf("looking for a user without rights: %w", err)
		}
	}
	group, err := user.LookupGroupId(owner.Gid)
	if err != nil {
		return fmt.Errorf("looking for the group: %w", err)
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
		"Dir": d.dir, "Plain": d.plain, "Secure": d.secure, "Cert": d.certificate, "Extra": extra,
		"Root": root, "User": owner.Username, "Group": group.Name, "UID": mail.Uid, "GID": mail.Gid,
	})
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return nil
}

// dovecotConf has no waiting after a wrong password (anvil's penalty is one too), room for many sessions, and login processes that serve more than one
// connection, as busy sites set them.
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
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-256 apop
auth_failure_delay = 0
auth_verbose = yes
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
