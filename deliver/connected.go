package deliver

// Connected is a Target that keeps connections to a server open between batches.
type Connected interface {
	// Disconnect ends the connections that no batch uses. A later batch opens new ones.
	Disconnect()
}

// disconnect tells those targets that are Connected.
func disconnect(targets ...Target) {
	for _, target := range targets {
		if connected, ok := target.(Connected); ok {
			connected.Disconnect()
		}
	}
}

// Disconnect tells the target.
func (w wrapped) Disconnect() { disconnect(w.inner) }

// Disconnect tells the members.
func (f *fan) Disconnect() { disconnect(f.targets()...) }

// Disconnect tells all targets.
func (r *route) Disconnect() { disconnect(r.targets()...) }

// Disconnect ends the sessions that no batch uses. A later batch opens new ones.
func (m *IMAP) Disconnect() { m.endSessions() }

// Disconnect does nothing: no target with a path keeps connections.
func (d *dated) Disconnect() {}
