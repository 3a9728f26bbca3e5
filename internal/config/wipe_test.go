package config

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// kept is a reader that keeps the buffers that it has filled.
type kept struct {
	text   *strings.Reader
	filled [][]byte
}

func (k *kept) Read(p []byte) (int, error) {
	k.filled = append(k.filled, p)
	return k.text.Read(p)
}

// TestFirstLine_wipes looks into the buffer that a password was read into.
func TestFirstLine_wipes(t *testing.T) {
	for _, text := range []string{"hunter2\nsecond", "hunter2", strings.Repeat("hunter2", maxSecret)} {
		k := &kept{text: strings.NewReader(text)}
		_, _ = firstLine(k)
		if len(k.filled) == 0 {
			t.Fatal("nothing was read")
		}
		for _, buffer := range k.filled {
			if bytes.Contains(buffer, []byte("hunter")) {
				t.Errorf("after the reading of %.20q, a buffer has the password", text)
			}
		}
	}
}

// TestRunInto_wipes looks into the buffers that a command's output was read into.
func TestRunInto_wipes(t *testing.T) {
	for _, command := range []string{"echo hunter2; echo hunter2 >&2", "echo hunter2; echo hunter2 >&2; exit 1", "echo hunter2 >&2; yes hunter2", "echo hunter2; yes hunter2 | head -n 999 >&2"} {
		stdout := &boundedBuffer{octets: make([]byte, 0, maxSecret), limit: maxSecret, strict: true}
		stderr := &boundedBuffer{octets: make([]byte, 0, maxComplaint), limit: maxComplaint}
		before := [2]*byte{&stdout.octets[:1][0], &stderr.octets[:1][0]}
		_, _ = runInto(t.Context(), command, time.Minute, stdout, stderr)
		for i, buffer := range []*boundedBuffer{stdout, stderr} {
			if len(buffer.octets) == 0 {
				t.Errorf("%q wrote nothing into buffer %d", command, i)
			}
			if bytes.Contains(buffer.octets[:cap(buffer.octets)], []byte("hunter")) || &buffer.octets[0] != before[i] {
				t.Errorf("after %q, buffer %d has the password, or it is another one", command, i)
			}
		}
	}
}
