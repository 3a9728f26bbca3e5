package config

import (
	"strings"
	"testing"
	"time"
)

const day = 24 * time.Hour

// TestLoad_delete reads delete as a text and as a table, and writes it back.
func TestLoad_delete(t *testing.T) {
	home(t)
	for _, test := range []struct {
		text    string
		want    Delete
		written string
	}{
		{`delete = "30d"`, Delete{Enabled: true, After: 30 * day}, `delete = "30d"`},
		{`delete = {after = "30d"}`, Delete{Enabled: true, After: 30 * day}, `delete = "30d"`},
		{`delete = {after = "delivered", imported = false}`, Delete{Enabled: true}, `delete = "delivered"`},
		{`delete = {imported = true, after = "2w"}`, Delete{Enabled: true, After: 14 * day, Imported: true},
			`delete = {after = "14d", imported = true}`},
		{"[account.work.delete]\nimported = true\nafter = 'delivered'", Delete{Enabled: true, Imported: true},
			`delete = {after = "delivered", imported = true}`},
		{"delete.imported = true\ndelete.after = '1d'", Delete{Enabled: true, After: day, Imported: true},
			`delete = {after = "1d", imported = true}`},
		{`delete = {after = "7d", larger_than = "25M", keep_newest = 10, removed = true, verify = true}`,
			Delete{Enabled: true, After: 7 * day, LargerThan: 25 << 20, KeepNewest: 10, Removed: true, Verify: true},
			`delete = {after = "7d", larger_than = 26214400, keep_newest = 10, removed = true, verify = true}`},
		{`delete = {removed = true}`, Delete{Removed: true}, `delete = {removed = true}`},
		{`delete = {larger_than = "1K"}`, Delete{LargerThan: 1024}, `delete = {larger_than = 1024}`},
	} {
		cfg, err := Load(writeConfig(t, oneAccount+test.text+"\n"))
		if err != nil {
			t.Errorf("Load() with %s = %v", test.text, err)
			continue
		}
		var b strings.Builder
		if err := cfg.Write(&b); err != nil {
			t.Fatal(err)
		}
		if got := cfg.Accounts[0].Delete; got != test.want || !strings.Contains(b.String(), "\n"+test.written+"\n") {
			t.Errorf("%s is %+v, want %+v, and\n%s", test.text, got, test.want, b.String())
		}
	}
}

// TestLoad_deleteMistakes names the line and the key of each mistake.
func TestLoad_deleteMistakes(t *testing.T) {
	home(t)
	for text, want := range map[string]string{
		"delete = {imported = true}":                            `:6: account.work.delete: has no rule that deletes; write after, larger_than or removed into it`,
		"[account.work.delete]\nafter = 'never'":                `:7: account.work.delete.after: "never" is no time`,
		"[account.work.delete]\nafter = '1d'\nlarger_than = 0":  `:8: account.work.delete.larger_than: 0 is no size`,
		"[account.work.delete]\nafter = '1d'\nimported = 'yes'": `:8: account.work.delete.imported: is text; write true or false`,
		"delete = ['30d']":                                      `:6: account.work.delete: is a list`,
		"delete = {keep_newest = 3, verify = true}":             `:6: account.work.delete: has no rule that deletes; write`,
		"delete = {after = '1d', keep_newest = 0}":              `:6: account.work.delete.keep_newest: 0 is out of range`,
		"delete = {after = '1d', keep = 3}":                     `:6: account.work.delete.keep: is not a known key; write keep_newest`,
	} {
		_, err := Load(writeConfig(t, oneAccount+text+"\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load() with %s = %v, want %s", text, err, want)
		}
	}
}

// oneAccount has five lines.
const oneAccount = "[account.work]\nserver = 'h'\nuser = 'u'\npassword_command = 'x'\nmaildir = '/m'\n"
