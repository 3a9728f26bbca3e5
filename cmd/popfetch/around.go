package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/popfetch/popfetch/fetch"
	"github.com/popfetch/popfetch/internal/config"
)

// aroundRun returns what the engine does before and after the sessions of a run: pre_command and
// post_command. They run under the account's lock, so that two runs never do so at once. The
// deadline of the run ends them too.
func aroundRun(s *setting, a *config.Account) (around fetch.Around) {
	if a.PreCommand != "" {
		around.Before = func(ctx context.Context) error {
			return named("pre_command", runHook(ctx, a.PreCommand, a, factsOf(a)))
		}
	}
	if a.PostCommand != "" {
		around.After = func(ctx context.Context, r fetch.Result) error {
			facts := append(factsOf(a), "POPFETCH_COUNT="+strconv.Itoa(r.Delivered), "POPFETCH_ERROR="+factOf(errorOf(s, r)))
			return named("post_command", runHook(ctx, a.PostCommand, a, facts))
		}
	}
	return around
}

// named puts the key of a command before its error.
func named(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %w", key, err)
}

// errorOf returns in one line what was wrong with a run; empty: nothing.
func errorOf(s *setting, r fetch.Result) string {
	switch {
	case r.Err != nil:
		return tellError(s, r.Err)
	case len(resultStatuses(r)) > 0:
		return summary(r)
	}
	return ""
}
