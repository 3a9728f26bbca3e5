// Package content reads the octets of a message once, as they come from the server. It keeps the
// facts that the engine needs: a digest of the header, sizes, and signs that the message was cut.
//
// It does no input or output. Of a message it holds only the header and the last line. It never
// changes a message: the octets go to the target as they came.
package content

// Content has the facts about one message while it streams by. It is reused for one message after
// the other. It is not safe for concurrent use.
type Content struct {
	Header  Header
	Outline Outline
}

// Reset prepares c for the next message. The argument announced is its size in LIST, in octets; 0
// means unknown.
func (c *Content) Reset(announced int64) {
	c.Header.Reset()
	c.Outline.Reset(announced)
}

// Write takes the next octets of the message. It never fails.
func (c *Content) Write(p []byte) (int, error) {
	_, _ = c.Outline.Write(p)
	return c.Header.Write(p)
}
