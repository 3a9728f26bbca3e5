package durable

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first, second := open(), open()
	if err := Lock(t.Context(), first, 0); err != nil {
		t.Fatal(err)
	}
	if err := Lock(t.Context(), second, 0); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("Lock() of a locked file = %v, want %v", err, unix.EWOULDBLOCK)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Lock(ctx, second, time.Hour); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("Lock() after its context has ended = %v, want %v", err, unix.EWOULDBLOCK)
	}
	locked := make(chan error)
	go func() { locked <- Lock(t.Context(), second, time.Hour) }()
	if err := Unlock(first); err != nil {
		t.Fatal(err)
	}
	if err := <-locked; err != nil {
		t.Errorf("Lock() of a file that was unlocked = %v", err)
	}
	if err := Unlock(second); err != nil {
		t.Error(err)
	}
}
