package deliver

import (
	"strings"
	"testing"

	"github.com/popfetch/popfetch/internal/escape"
)

func TestSender(t *testing.T) {
	long := strings.Repeat("x", maxSender)
	for head, want := range map[string]string{
		"":                                             "",
		"Return-Path: <a@b>\n\n":                       "a@b",
		"RETURN-PATH: a@b \n\n":                        "a@b",
		"Return-Path: <>\n\n":                          "",
		"Return-Path: <a@b>":                           "a@b",
		"Return-Path:\n\t<a@b>\nX: y\n":                "a@b",
		"Return-Path: <a@b>\nReturn-Path: c":           "a@b",
		"From x\nReturn-Path: <a@b> (why)\n":           "a@b",
		"\nReturn-Path: <a@b>\n":                       "",
		"Return-Path: <a\x1b@b>\n":                     "",
		"Return-Path: <a\x00@b>\n":                     "",
		"Return-Path: <a b@c>\n":                       "",
		"Return-Path: <\xc3\xa9@b>\n":                  "",
		"Return-Path: <" + long + ">\n":                long,
		"Return-Path: <" + long + "x>\n":               "",
		"Return-Path:" + strings.Repeat("\n "+long, 9): "",
		"X-Return-Path: <a@b>\n":                       "",
		"Return-Path\n":                                "",
	} {
		if got := sender([]byte(head)); got != want {
			t.Errorf("sender(%s) = %q, want %q", escape.Lines([]byte(head), 80), got, want)
		}
	}
}
