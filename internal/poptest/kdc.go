package poptest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Realm is the realm of every [KDC].
const Realm = "POPTEST.EXAMPLE"

// KDCOptions are the options of [StartKDC]. Nil means the zero value.
type KDCOptions struct {
	Encryption string // of all keys; "" means aes256-cts-hmac-sha1-96
	UDP        bool   // serves UDP alone instead of TCP alone
	OtherRealm bool   // the service is in another realm than the user
	Through    bool   // these two realms trust each other only through a third one
}

const (
	otherRealm  = "OTHER.EXAMPLE"
	middleRealm = "MIDDLE.EXAMPLE"
)

// KDC is a running key distribution centre of MIT Kerberos, with the user mrose and the service pop
// on localhost and on pop.other.example. It belongs to one test.
type KDC struct {
	Config string // path of the client's krb5.conf
	Keytab string // path of the file with the service's key, for Dovecot

	t   TB
	dir string
}

// StartKDC starts a KDC in a folder of its own. It does not need root. If MIT Kerberos is not
// installed, the test is skipped. With POPFETCH_TEST_DOVECOT=1 the test fails instead.
func StartKDC(t TB, options *KDCOptions) *KDC {
	t.Helper()
	if options == nil {
		options = &KDCOptions{}
	}
	if options.Encryption == "" {
		options.Encryption = "aes256-cts-hmac-sha1-96"
	}
	for _, name := range []string{"krb5kdc", "kdb5_util", "kadmin.local", "kinit", dovecotGSSAPI} {
		if _, err := exec.LookPath(kerberosProgram(name)); err == nil || name == dovecotGSSAPI && exists(name) {
			continue
		}
		const missing = "%s is not installed (Debian: krb5-kdc krb5-admin-server krb5-user dovecot-gssapi)"
		if os.Getenv("POPFETCH_TEST_DOVECOT") == "1" {
			t.Fatalf("POPFETCH_TEST_DOVECOT=1, but "+missing, name)
		}
		t.Skipf(missing, name)
	}
	dir, err := os.MkdirTemp(shortTempDir(), "poptest-")
	if err != nil {
		t.Fatalf("making a folder: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	k := &KDC{Config: filepath.Join(dir, "krb5.conf"), Keytab: filepath.Join(dir, "keytab"), t: t, dir: dir}
	if err := k.start(options); err != nil {
		log, _ := os.ReadFile(k.path("output")) // a missing file is not shown
		t.Fatalf("starting a KDC: %v\n%s", err, log)
	}
	return k
}

const dovecotGSSAPI = "/usr/lib/dovecot/modules/auth/libmech_gssapi.so"

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// kerberosProgram returns the path of a program. Debian has some in /usr/sbin, which a user's PATH
// may lack.
func kerberosProgram(name string) string {
	if path := "/usr/sbin/" + name; exists(path) {
		return path
	}
	return name
}

func (k *KDC) path(name string) string { return filepath.Join(k.dir, name) }

// start makes the database and its keys, runs the KDC, and waits until it serves.
func (k *KDC) start(o *KDCOptions) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	protocol, other := "kdc_tcp_listen", "kdc_listen"
	if o.UDP {
		protocol, other = other, protocol
	}
	serviceRealm := Realm
	if o.OtherRealm {
		serviceRealm = otherRealm
	}
	replacer := strings.NewReplacer("DIR", k.dir, "PORT", fmt.Sprint(port), "REALM", Realm, "KEYS", o.Encryption,
		"LISTEN", protocol, "SILENT", other, "SERVICE", serviceRealm)
	for name, text := range map[string]string{"krb5.conf": krb5Conf, "kdc.conf": kdcConf, "kadm5.acl": ""} {
		if err := os.WriteFile(k.path(name), []byte(replacer.Replace(text)), 0o644); err != nil {
			return fmt.Errorf("writing the configuration: %w", err)
		}
	}
	if err := k.makeRealms(o); err != nil {
		return err
	}
	if err := os.Chmod(k.Keytab, 0o644); err != nil { // Dovecot's authentication process is not root
		return fmt.Errorf("opening the keytab to Dovecot: %w", err)
	}
	if err := os.Chmod(k.dir, 0o755); err != nil {
		return fmt.Errorf("opening the folder to Dovecot: %w", err)
	}
	return k.serve(o)
}

// makeRealms makes the database and the keys of each realm. With another realm, both have the same key
// for the way from the user's realm to it.
func (k *KDC) makeRealms(o *KDCOptions) error {
	across := "addprinc -pw across krbtgt/" + otherRealm + "@" + Realm
	into := across
	if o.Through {
		into, across = "addprinc -pw into krbtgt/"+middleRealm+"@"+Realm, "addprinc -pw across krbtgt/"+otherRealm+"@"+middleRealm
		if err := k.makeRealm(middleRealm, into, across); err != nil {
			return err
		}
	}
	user := []string{"addprinc -pw tanstaaf mrose", into}
	var service []string
	for _, name := range []string{"pop/localhost", "pop/pop.other.example"} {
		service = append(service, "addprinc -randkey "+name, "ktadd -k "+k.Keytab+" "+name)
	}
	if !o.OtherRealm {
		return k.makeRealm(Realm, append(user, service...)...)
	}
	if err := k.makeRealm(Realm, user...); err != nil {
		return err
	}
	return k.makeRealm(otherRealm, append(service, across)...)
}

func (k *KDC) makeRealm(realm string, queries ...string) error {
	if err := k.run("kdb5_util", "-r", realm, "create", "-s", "-P", "master"); err != nil {
		return err
	}
	for _, query := range queries {
		if err := k.run("kadmin.local", "-r", realm, "-q", query); err != nil {
			return err
		}
	}
	return nil
}

// serve runs the KDC, and stops it at the end of the test.
func (k *KDC) serve(o *KDCOptions) error {
	// As for Dovecot, the shell ends the KDC when this process closes the shell's standard input.
	cmd := k.command("/bin/sh", "-c", `"$0" "$@" -n & cat >/dev/null; kill $!; wait`, kerberosProgram("krb5kdc"), "-r", Realm)
	if o.OtherRealm {
		cmd.Args = append(cmd.Args, "-r", otherRealm)
	}
	if o.Through {
		cmd.Args = append(cmd.Args, "-r", middleRealm)
	}
	stop, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("opening a pipe: %w", err)
	}
	output, err := os.Create(k.path("output"))
	if err != nil {
		return fmt.Errorf("making a file for the output: %w", err)
	}
	defer func() { _ = output.Close() }()
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running krb5kdc: %w", err)
	}
	k.t.Cleanup(func() {
		_ = stop.Close()
		_ = cmd.Wait() // how it ended does not matter
		if log, err := os.ReadFile(k.path("kdc.log")); err == nil && k.t.Failed() {
			k.t.Logf("the KDC's log:\n%s", log)
		}
	})
	// kinit asks by UDP and TCP, so it finds out whether the KDC serves.
	for limit := time.Now().Add(10 * time.Second); ; {
		err = k.Kinit(k.path("probe"), "1h")
		if err == nil || time.Now().After(limit) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Kinit puts a ticket of mrose that lasts so long, such as "1h", into the cache at path.
func (k *KDC) Kinit(path, lifetime string) error {
	cmd := k.command("kinit", "-c", "FILE:"+path, "-l", lifetime, "mrose@"+Realm)
	cmd.Stdin = strings.NewReader("tanstaaf\n")
	return outcome(cmd)
}

// run runs a program of Kerberos to its end.
func (k *KDC) run(name string, args ...string) error {
	return outcome(k.command(kerberosProgram(name), args...))
}

func (k *KDC) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Env = append(os.Environ(), "KRB5_CONFIG="+k.Config, "KRB5_KDC_PROFILE="+k.path("kdc.conf"), "LC_ALL=C")
	return cmd
}

func outcome(cmd *exec.Cmd) error {
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Args[0], err, output)
	}
	return nil
}

// Unreachable makes the KDC unreachable: another krb5.conf names a port where nobody listens. It returns the
// path of that file.
func (k *KDC) Unreachable() string {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		k.t.Fatalf("looking for a free port: %v", err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	path := k.path("unreachable.conf")
	text := "[libdefaults]\ndefault_realm = " + Realm + "\n[realms]\n" + Realm + " = {\nkdc = " + addr + "\n}\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		k.t.Fatalf("writing the configuration: %v", err)
	}
	return path
}

// dovecot returns the lines of dovecot.conf for GSSAPI. Dovecot passes variables on only if it is told
// so. The list of tickets that were used would be in /var/tmp.
func (k *KDC) dovecot() string {
	return "auth_mechanisms = $auth_mechanisms gssapi\nauth_krb5_keytab = " + k.Keytab +
		"\nauth_gssapi_hostname = \"$ALL\"\nimport_environment = $import_environment KRB5_CONFIG=" + k.Config + " KRB5RCACHENAME=none:\n"
}

// WithoutRealm returns the path of a krb5.conf that does not say in which realm the service is.
func (k *KDC) WithoutRealm() string {
	text, err := os.ReadFile(k.Config)
	if err != nil {
		k.t.Fatalf("reading the configuration: %v", err)
	}
	before, _, _ := strings.Cut(string(text), "[domain_realm]")
	path := k.path("norealm.conf")
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		k.t.Fatalf("writing the configuration: %v", err)
	}
	return path
}

const krb5Conf = `
[libdefaults]
default_realm = REALM
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
permitted_enctypes = KEYS

[realms]
REALM = {
	kdc = 127.0.0.1:PORT
}
OTHER.EXAMPLE = {
	kdc = 127.0.0.1:PORT
}
MIDDLE.EXAMPLE = {
	kdc = 127.0.0.1:PORT
}

[capaths]
REALM = {
	OTHER.EXAMPLE = MIDDLE.EXAMPLE
}

[domain_realm]
localhost = SERVICE
.other.example = SERVICE
`

const kdcConf = `
[kdcdefaults]
LISTEN = 127.0.0.1:PORT
SILENT = ""

[realms]
REALM = {
	database_name = DIR/principal
	key_stash_file = DIR/stash
	acl_file = DIR/kadm5.acl
	max_life = 10h
	master_key_type = KEYS
	supported_enctypes = KEYS:normal
}
OTHER.EXAMPLE = {
	database_name = DIR/other
	key_stash_file = DIR/otherstash
	acl_file = DIR/kadm5.acl
	max_life = 10h
	master_key_type = KEYS
	supported_enctypes = KEYS:normal
}
MIDDLE.EXAMPLE = {
	database_name = DIR/middle
	key_stash_file = DIR/middlestash
	acl_file = DIR/kadm5.acl
	max_life = 10h
	master_key_type = KEYS
	supported_enctypes = KEYS:normal
}

[logging]
kdc = FILE:DIR/kdc.log
`
