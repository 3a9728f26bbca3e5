package config

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// TestConfig_Write compares with testdata/write.want. FuzzLoad reads back what Write has written.
func TestConfig_Write(t *testing.T) {
	cfg := &Config{StateDir: "/s", Jobs: 4, Accounts: []Account{
		emptyAccount("work"),
		{
			Name: "a.b", Server: "h:110", TLS: "starttls", Proxy: Proxy{"socks5", "p:1080", "al:ice@\xff", "hunter2"}, TLSCA: "/ca", TLSServerName: "n",
			TLSFingerprint: []string{"ab", "cd"}, TLSCert: "/c", TLSKey: "/k", User: "u\u202e\"\\é",
			Password: Secret{Password: "hunter2"}, Auth: []string{"plain", "apop"}, CredentialsCharset: "utf-8",
			Target: Target{MDA: "cat", MDATimeout: 90 * time.Second, MaxDeliveries: 2}, Delete: Delete{Enabled: true, After: 36 * time.Hour},
			MaxSize: 5, Initial: Initial{Limited: true, Within: 14 * 24 * time.Hour}, UIDL: "fallback", NewUIDs: "stop", QuarantineAfter: 9, Order: "newest", Pipelining: "never", Timeout: time.Hour, Deadline: 14 * 24 * time.Hour,
			OnNew: "a 'b' \"c\"", OnError: "d", OnRecovered: "e", HookTimeout: 5 * time.Second,
		},
		{
			Name: "work2", Server: "h:995", Target: Target{Maildir: "/m"}, Password: Secret{File: "/p"},
			Delete: Delete{Enabled: true}, Initial: Initial{Limited: true}, Interval: time.Second, Timeout: time.Minute, HookTimeout: time.Minute,
		},
		{Name: "work3", Password: Secret{Command: "pass show"}, Timeout: time.Minute, HookTimeout: time.Minute},
		{Name: "work4", Password: Secret{Credential: "c"}, Timeout: time.Minute, HookTimeout: time.Minute},
	}}
	want, err := os.ReadFile("testdata/write.want")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := cfg.Write(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("Write() =\n%swant\n%s", got.String(), want)
	}
}

// fullDisk is a writer that takes no octet.
type fullDisk struct{}

var errFull = errors.New("no space left on device")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestConfig_Write_fails(t *testing.T) {
	if err := (&Config{}).Write(fullDisk{}); !errors.Is(err, errFull) {
		t.Errorf("Write() = %v, want %v", err, errFull)
	}
}

func TestDelete_String(t *testing.T) {
	tests := map[string]Delete{
		"never":     {},
		"delivered": {Enabled: true},
		"30d":       {Enabled: true, After: 30 * 24 * time.Hour},
		"90s":       {Enabled: true, After: 90 * time.Second},
	}
	for want, policy := range tests {
		if got := policy.String(); got != want {
			t.Errorf("String() of %#v = %s, want %s", policy, got, want)
		}
	}
}
