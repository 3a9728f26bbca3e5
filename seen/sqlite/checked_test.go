package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A table that was checked is not checked again for a day, unless somebody else has changed it.
func TestOpen_checked(t *testing.T) {
	for _, test := range []struct {
		name  string
		after func(c *checked)
		again bool
	}{
		{"as it was left", func(*checked) {}, false},
		{"a day later", func(c *checked) { c.until -= int64(checkedFor / time.Second) }, true},
		{"the clock was ahead", func(c *checked) { c.until += 3600 }, true},
		{"another file", func(c *checked) { c.inode++ }, true},
		{"another size", func(c *checked) { c.octets += 4096 }, true},
		{"changed", func(c *checked) { c.change++ }, true},
		{"another disk", func(c *checked) { c.device++ }, true},
		{"before the system was started", func(c *checked) { c.boot = "another" }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openIn(t, dir)
			enter(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			note := filepath.Join(dir, checkedName)
			c := readChecked(note)
			c.until -= 60 // so that a new check shows
			test.after(&c)
			write(t, note, fmt.Appendf(nil, checkedFormat, c.until, c.device, c.inode, c.octets, c.change, c.boot))
			s = openIn(t, dir)
			if again := s.whole != c.until; again != test.again {
				t.Errorf("looked through again: %v, want %v", again, test.again)
			}
			until := s.whole
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(s.path)
			if got := readChecked(note); err != nil || got != checkedOf(info, until) {
				t.Errorf("noted is %+v, %v, want %+v", got, err, checkedOf(info, until))
			}
		})
	}
}

// A killed process leaves its log, and then the note is not valid.
func TestOpen_checkedAndKilled(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	enter(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c := readChecked(filepath.Join(dir, checkedName))
	info, err := os.Stat(s.path)
	if err != nil || !c.holds(s.path, info, time.Now()) {
		t.Fatalf("the note %+v does not hold, %v", c, err)
	}
	for _, log := range []string{"-wal", "-journal"} {
		write(t, s.path+log, []byte("log"))
		if c.holds(s.path, info, time.Now()) {
			t.Errorf("the note holds though there is a %s", log)
		}
		if err := os.Remove(s.path + log); err != nil {
			t.Fatal(err)
		}
	}
}

// A note that cannot be read, or is a link to another file, costs only the time of a new check.
func TestOpen_checkedOddly(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, note := range []string{"", "1", "x y z", strings.Repeat("9", 100)} {
		write(t, filepath.Join(dir, checkedName), []byte(note))
		s = openIn(t, dir)
		if err := s.Close(); err != nil {
			t.Errorf("Close() with the note %q = %v", note, err)
		}
		if c := readChecked(filepath.Join(dir, checkedName)); c.until != s.whole || c.until == 0 {
			t.Errorf("the note %q became %+v, want one until %d", note, c, s.whole)
		}
	}
}
