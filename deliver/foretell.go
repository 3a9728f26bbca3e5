package deliver

// MayDrop reports whether the target drops messages with some headers; see Drops.
func MayDrop(target Target) bool {
	switch t := madeOf(target).(type) {
	case Drop:
		return true
	case *route:
		for _, p := range t.ports {
			if MayDrop(p.Target) {
				return true
			}
		}
	}
	return false
}

// Drops reports whether the target would drop a message whose header is head, as it comes from the
// wire. Nobody knows that of a filter without running it, so for one it reports false.
func Drops(target Target, env Envelope, head []byte) bool {
	switch t := madeOf(target).(type) {
	case Drop:
		return true
	case *route:
		recipient, port := t.choose(head, env.Recipient)
		env.Recipient = recipient
		return Drops(t.ports[port].Target, env, head)
	}
	return false
}
