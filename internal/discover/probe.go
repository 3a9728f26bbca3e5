package discover

import (
	"context"
	"time"

	"github.com/popfetch/popfetch/pop3"
)

const (
	dnsTimeout = 5 * time.Second
	// probeTimeout limits the time for all servers of one source. They are tried at the same time.
	probeTimeout = 8 * time.Second
	// quitTimeout limits the farewell, which is mere politeness.
	quitTimeout = time.Second
)

// Probe connects to servers, all at the same time, and returns those that greet under TLS with a
// valid certificate. It logs in nowhere. As soon as the best one that is left has answered, the ones
// behind it are no longer waited for. Both results are in the order of servers.
func (f *Finder) Probe(ctx context.Context, servers []Server) (good []Server, failed []Failure) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	outcomes := make([]chan error, len(servers))
	for i, s := range servers {
		outcomes[i] = make(chan error, 1)
		go func() { outcomes[i] <- f.probe(ctx, s) }()
	}
	for i, s := range servers {
		var err error
		if len(good) == 0 {
			err = <-outcomes[i]
		} else {
			select {
			case err = <-outcomes[i]:
			default:
				continue
			}
		}
		if err != nil {
			failed = append(failed, Failure{Server: s, Err: err})
		} else {
			good = append(good, s)
		}
	}
	return good, failed
}

// probe connects to a server and takes leave.
func (f *Finder) probe(ctx context.Context, s Server) error {
	options := f.Options
	options.TLS = pop3.TLSImplicit
	if s.STARTTLS {
		options.TLS = pop3.TLSStart
	}
	c, err := pop3.Dial(ctx, s.Addr(), &options)
	if err != nil {
		return err
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quitTimeout)
		defer cancel()
		_ = c.Quit(ctx) // the server has been found, whatever it says
	}()
	return nil
}
