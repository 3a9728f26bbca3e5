package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func ExampleLoad() {
	folder, err := os.MkdirTemp("", "popfetch")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "config.toml")
	const text = `state_dir = "/var/lib/popfetch"
[account.work]
server = "pop.example.org"
pasword_command = "pass show mail/work"
maildir = "/home/alice/Maildir"
timeout = 60
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}

	_, err = Load(path)
	var mistakes Errors
	if errors.As(err, &mistakes) {
		for _, m := range mistakes {
			fmt.Printf("line %d, %s: %v\n", m.Line, m.Key, m.Err)
		}
	}
	// Output:
	// line 2, account.work: has no user; write user = "alice@example.org"
	// line 4, account.work.pasword_command: is not a known key; write password_command
	// line 6, account.work.timeout: is a number; write a number with its unit s, m, h, d or w, such as "60s" or "30d"
}

func ExampleOneShot() {
	cfg, err := OneShot(map[string]string{
		"server":    "pop.example.org",
		"user":      "alice",
		"maildir":   "/home/alice/backup",
		"tls":       "starttls",
		"state_dir": "/var/lib/popfetch",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	account := cfg.Accounts[0]
	fmt.Println(account.Name, account.Server, account.Delete)
	// Output: alice@pop.example.org pop.example.org:110 never
}
