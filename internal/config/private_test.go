package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// giveTo makes another user the owner of a file. Only root can do that.
func giveTo(t *testing.T, path string, uid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to somebody else")
	}
	if err := os.Chown(path, uid, -1); err != nil {
		t.Fatal(err)
	}
}

// The owner of a file can read it, whatever its mode is. For a link, its target counts.
func TestCheckPrivate(t *testing.T) {
	const elsewhere = ", or move it below a folder that only you can enter or to a read-only mount"
	for _, test := range []struct {
		name string
		mode os.FileMode
		uid  int // 0 means our own
		want string
	}{
		{"private", 0o600, 0, ""},
		{"read-only", 0o400, 0, ""},
		{"group", 0o640, 0, "others can read PATH (mode 0640); run chmod 600 PATH" + elsewhere},
		{"others", 0o604, 0, "others can read PATH (mode 0604); run chmod 600 PATH" + elsewhere},
		{"others can only write", 0o602, 0, "others can read PATH (mode 0602); run chmod 600 PATH" + elsewhere},
		{"another user's", 0o600, 65534, "its owner, user 65534, can read PATH; run popfetch as that user, or chown PATH" + elsewhere},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := writeSecret(t, "hunter2\n", test.mode)
			if test.uid != 0 {
				giveTo(t, path, test.uid)
			}
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{path, link} {
				want := strings.ReplaceAll(test.want, "PATH", name)
				if got := CheckPrivate(name); fmt.Sprint(got) != want && (got != nil || want != "") {
					t.Errorf("CheckPrivate() = %v, want %q", got, want)
				}
				_, err := Secret{File: name}.Resolve(t.Context(), "alice")
				if want != "" {
					want += "; or use password_command"
				}
				if got := strings.TrimPrefix(fmt.Sprint(err), "password_file: "); got != want && (err != nil || want != "") {
					t.Errorf("Resolve() = %v, want %q", err, want)
				}
			}
		})
	}
	if err := CheckPrivate("/nonexistent/key"); err == nil {
		t.Error("CheckPrivate() of a missing file = nil, want an error")
	}
}

// A file that others cannot reach is private whatever its mode is, as are the secrets of containers.
func TestCheckPrivate_unreachable(t *testing.T) {
	for _, test := range []struct {
		name   string
		modes  [2]os.FileMode // of the folder, and of the folder in it that has the file
		uid    int            // owner of the outer folder; 0 means our own
		reason string         // why it is refused; empty: it is accepted
	}{
		{"below a closed folder", [2]os.FileMode{0o700, 0o755}, 0, ""},
		{"in a closed folder", [2]os.FileMode{0o755, 0o700}, 0, ""},
		{"a folder that can only be listed", [2]os.FileMode{0o744, 0o755}, 0, ""},
		{"the group may enter", [2]os.FileMode{0o710, 0o755}, 0, "others can read"},
		{"others may enter", [2]os.FileMode{0o701, 0o755}, 0, "others can read"},
		{"another user's folder", [2]os.FileMode{0o700, 0o755}, 65534, "others can read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			outer := openFolder(t)
			inner := filepath.Join(outer, "inner")
			path := filepath.Join(inner, "secret")
			if err := os.Mkdir(inner, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("hunter2\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			link := filepath.Join(openFolder(t), "link") // the way of the link does not count
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			for name, mode := range map[string]os.FileMode{path: 0o644, inner: test.modes[1], outer: test.modes[0]} {
				if err := os.Chmod(name, mode); err != nil {
					t.Fatal(err)
				}
			}
			if test.uid != 0 {
				giveTo(t, outer, test.uid)
			}
			for _, name := range []string{path, link} {
				_, err := Secret{File: name}.Resolve(t.Context(), "alice")
				if (err == nil) != (test.reason == "") || err != nil && !strings.Contains(err.Error(), test.reason) {
					t.Errorf("Resolve() = %v, want %q", err, test.reason)
				}
			}
		})
	}
}

// The cases are about others who can read or write the configuration. If it has a password, nobody
// else may read it. In no case may everybody write it.
func TestLoad_access(t *testing.T) {
	home(t)
	const password = "\npassword = \"hunter2\""
	for _, test := range []struct {
		name, text string
		mode       os.FileMode
		uid        int
		want       string
	}{
		{"another user's, password", twoAccounts + password, 0o600, 65534, ":11: account.work.password: its owner, user 65534, can read the file; run popfetch as that user, or chown "},
		{"another user's, no password", twoAccounts + "\npassword_command = \"echo\"", 0o600, 65534, ""},
		{"everybody writes", twoAccounts + "\npassword_command = \"echo\"", 0o646, 0, ": everybody can write the file (mode 0646), and so choose the commands that it runs; run chmod o-w "},
		{"the group writes", twoAccounts + "\npassword_command = \"echo\"", 0o664, 0, ""},
		{"password, quoted key", twoAccounts + "\n\"password\" = \"hunter2\"", 0o644, 0, ":11: account.work.password: others can read"},
		{"password, escaped key", twoAccounts + "\n\"pass\\u0077ord\" = \"hunter2\"", 0o644, 0, ":11: account.work.password: others can read"},
		{"password in a proxy", twoAccounts + "\nproxy = \"http://al:hunter2@p:1\"", 0o644, 0, ":11: account.work.proxy: others can read the file (mode 0644); run chmod 600 "},
		{"password in a proxy of the defaults", "defaults.proxy = 'socks5://al:hunter2@p:1'" + twoAccounts, 0o640, 0, ":1: defaults.proxy: others can read"},
		{"password in a wrong proxy", twoAccounts + "\nproxy = \"al:hunter2\\u0040p\"", 0o644, 0, ":11: account.work.proxy: others can read"},
		{"proxy without password", twoAccounts + "\nproxy = \"http://p:1\"", 0o644, 0, ""},
		{"password, inline table", "account = { a = { password = 'hunter2' } }", 0o644, 0, ":1: account.a.password: others can read"},
		{"password, inline defaults", "defaults = { password = 'hunter2' }" + twoAccounts, 0o644, 0, ":1: defaults.password: others can read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := writeConfig(t, test.text)
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			if test.uid != 0 {
				giveTo(t, path, test.uid)
			}
			link := filepath.Join(t.TempDir(), "config.toml")
			if err := os.Symlink(path, link); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{path, link} {
				_, err := Load(name)
				if test.want == "" && err != nil || test.want != "" && !strings.Contains(fmt.Sprint(err), name+test.want) {
					t.Errorf("Load(%s) = %v, want %q", name, err, test.want)
				}
				if strings.Contains(fmt.Sprint(err), "hunter") {
					t.Errorf("Load() tells the password: %v", err)
				}
			}
		})
	}
}

// Some texts become a part of a command or of a look-up. They cannot contain a line end or NUL,
// in whatever way they are written (C0003).
func TestLoad_control(t *testing.T) {
	home(t)
	for _, key := range []string{"server", "user", "password", "tls_server_name", "auth", "password_credential", "proxy"} {
		for _, octet := range []string{`\r\n`, `\n`, `\r`, `\u0000`} {
			text := strings.ReplaceAll(twoAccounts, "\n"+key+" =", "\n#") + fmt.Sprintf("\n%s = \"a%sDELE 1\"", key, octet)
			_, err := Load(writeConfig(t, text))
			if !strings.Contains(fmt.Sprint(err), "account.work."+key+": ") {
				t.Errorf("C0003: Load() with %s and %s = %v, want it refused", key, octet, err)
			}
		}
	}
	for _, name := range []string{"mda", "maildir", "password_command", "password_file", "tls_ca"} {
		text := strings.ReplaceAll(twoAccounts, "\n"+name+" =", "\n#") + fmt.Sprintf("\n%s = \"a\\u0000b\"", name)
		if _, err := Load(writeConfig(t, text)); !strings.Contains(fmt.Sprint(err), "account.work."+name+": holds a NUL character") {
			t.Errorf("C0003: Load() with NUL in %s = %v, want it refused", name, err)
		}
	}
	for _, user := range []string{"a%0d%0aDELE", "a%00b", "a%0a"} {
		_, err := OneShot(map[string]string{"server": "pop://" + user + "@localhost", "maildir": "m", "password_command": "x"})
		if !strings.Contains(fmt.Sprint(err), "control character") {
			t.Errorf("C0003: OneShot() with the user %s = %v, want it refused", user, err)
		}
	}
}
