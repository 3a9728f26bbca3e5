package poptest

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Proxy is a proxy on loopback, of SOCKS 5 or of HTTP CONNECT. It knows only the servers that it is
// told, and looks up no name.
type Proxy struct {
	listener    *net.TCPListener
	scheme      string            // socks5 or http
	credentials string            // user:password; "" if none are wanted
	servers     map[string]string // real addresses, by the host:port that clients ask for

	mu    sync.Mutex
	asked []string
}

// NewProxy starts a proxy. It stops when the test ends.
func NewProxy(t TB, scheme, credentials string, servers map[string]string) *Proxy {
	t.Helper()
	p := &Proxy{listener: listen(t), scheme: scheme, credentials: credentials, servers: servers}
	var all sync.WaitGroup
	all.Add(1)
	go func() {
		defer all.Done()
		for {
			conn, err := p.listener.Accept()
			if err != nil {
				return
			}
			all.Add(1)
			go func() {
				defer all.Done()
				p.serve(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = p.listener.Close()
		all.Wait()
	})
	return p
}

// Addr returns host:port of the proxy.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Asked returns the servers that clients have asked for, as they named them.
func (p *Proxy) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// note records what a client asked for, and returns a connection to it.
func (p *Proxy) note(addr string) (net.Conn, error) {
	p.mu.Lock()
	p.asked = append(p.asked, addr)
	p.mu.Unlock()
	real := p.servers[addr]
	if real == "" {
		return nil, fmt.Errorf("there is no server %s", addr)
	}
	return net.Dial("tcp", real)
}

// serve serves one client. Whatever goes wrong, the connection is closed.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // the client sees it
	in := bufio.NewReader(client)
	negotiate := p.serveHTTP
	if p.scheme == "socks5" {
		negotiate = p.serveSOCKS
	}
	server, err := negotiate(in, client)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // it sees it too
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, in)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
	_ = client.(*net.TCPConn).CloseWrite()
	<-done
}

func (p *Proxy) serveHTTP(in *bufio.Reader, out io.Writer) (net.Conn, error) {
	request, err := http.ReadRequest(in)
	if err != nil {
		return nil, err
	}
	refuse := func(answer string) (net.Conn, error) {
		_, _ = io.WriteString(out, "HTTP/1.1 "+answer+"\r\nContent-Length: 0\r\n\r\n")
		return nil, fmt.Errorf("refused: %s", answer)
	}
	said := request.Header.Get("Proxy-Authorization")
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.credentials))
	switch {
	case request.Method != http.MethodConnect:
		return refuse("405 Method Not Allowed")
	case p.credentials != "" && said != want: // repeating it, as the worst of proxies
		token, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(said, "Basic "))
		return refuse("407 Not By " + said + " Alias " + string(token) + "\r\nProxy-Authenticate: Basic realm=\"mail\"")
	case request.Host != request.RequestURI:
		return refuse("400 Bad Request")
	}
	server, err := p.note(request.RequestURI)
	if err != nil {
		return refuse("502 " + err.Error())
	}
	_, err = io.WriteString(out, "HTTP/1.1 200 Connection established\r\n\r\n")
	return server, err
}

func (p *Proxy) serveSOCKS(in *bufio.Reader, out io.Writer) (net.Conn, error) {
	if err := p.admit(in, out); err != nil {
		return nil, err
	}
	var request [4]byte
	if _, err := io.ReadFull(in, request[:]); err != nil {
		return nil, err
	}
	addr, err := readAddress(in, request[3])
	if err != nil {
		return nil, err
	}
	server, err := p.note(addr)
	if err != nil {
		_, _ = out.Write([]byte{5, 4, 0, 1, 0, 0, 0, 0, 0, 0})
		return nil, err
	}
	_, err = out.Write([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 9})
	return server, err
}

// admit reads the log-in of SOCKS 5.
func (p *Proxy) admit(in *bufio.Reader, out io.Writer) error {
	var begin [2]byte
	if _, err := io.ReadFull(in, begin[:]); err != nil {
		return err
	}
	offered := make([]byte, begin[1])
	if _, err := io.ReadFull(in, offered); err != nil {
		return err
	}
	method := byte(0)
	if p.credentials != "" {
		method = 2
	}
	if !slices.Contains(offered, method) {
		_, _ = out.Write([]byte{5, 0xff})
		return fmt.Errorf("offered %v", offered)
	}
	if _, err := out.Write([]byte{5, method}); err != nil || method == 0 {
		return err
	}
	if _, err := in.ReadByte(); err != nil { // the version of RFC 1929
		return err
	}
	user, err := readCounted(in)
	if err != nil {
		return err
	}
	password, err := readCounted(in)
	if err != nil {
		return err
	}
	if user+":"+password != p.credentials {
		_, _ = out.Write([]byte{1, 1})
		return fmt.Errorf("wrong password of %s", user)
	}
	_, err = out.Write([]byte{1, 0})
	return err
}

// readAddress reads the address of a request of SOCKS.
func readAddress(in *bufio.Reader, kind byte) (string, error) {
	var host string
	var err error
	switch kind {
	case 3:
		host, err = readCounted(in)
	case 1, 4:
		ip := make(net.IP, map[byte]int{1: net.IPv4len, 4: net.IPv6len}[kind])
		_, err = io.ReadFull(in, ip)
		host = ip.String()
	default:
		err = fmt.Errorf("type %d", kind)
	}
	if err != nil {
		return "", err
	}
	var port [2]byte
	_, err = io.ReadFull(in, port[:])
	return net.JoinHostPort(host, fmt.Sprint(int(port[0])<<8|int(port[1]))), err
}

// readCounted reads a text behind its length.
func readCounted(in *bufio.Reader) (string, error) {
	length, err := in.ReadByte()
	if err != nil {
		return "", err
	}
	text := make([]byte, length)
	_, err = io.ReadFull(in, text)
	return string(text), err
}
