// Package content takes the octets of a message once, as they come from the wire, and keeps what the
// engine must know of them: a digest of the header, sizes, and signs that the message was cut.
//
// It does no input or output, and holds no more of a message than its header and its last line.
// Nothing in it changes a message: whatever it finds, the octets go to the target as they came.
package content

// Content is what is learnt of one message while it streams by. It is used for one message after
// the other, and not by several goroutines at the same time.
type Content struct {
	Header  Header
	Outline Outline
}

// Reset makes c ready for a message of which LIST announced so many octets; 0 means unknown.
func (c *Content) Reset(announced int64) {
	c.Header.Reset()
	c.Outline.Reset(announced)
}

// Write takes the next octets of the message; it never fails.
func (c *Content) Write(p []byte) (int, error) {
	_, _ = c.Outline.Write(p)
	return c.Header.Write(p)
}
