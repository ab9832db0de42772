package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"

	"aquifer/api"
)

// entrance is where a server takes connections.
type entrance struct {
	net.Listener
	tls *tls.Config // nil: not encrypted
	url string      // of the API, as users are told
}

// listen opens the address that the settings name. It refuses one that others can reach when there is no key.
func listen(s settings, log *slog.Logger) (*entrance, error) {
	e := &entrance{}
	cert, key := s.str("tls-cert"), s.str("tls-key")
	if (cert == "") != (key == "") {
		return nil, usageErrorf("--tls-cert and --tls-key belong together: the certificate (with its chain) and its private key, PEM files")
	}
	scheme := "http"
	if cert != "" {
		c, err := newCertificate(cert, key, log)
		if err != nil {
			return nil, advise(err, "give the certificate with its chain to --tls-cert and its private key to --tls-key, as PEM files")
		}
		// HTTP/2 would bring flow control of its own between a slow reader and the deadlines of writes.
		e.tls, scheme = &tls.Config{GetCertificate: c.get, NextProtos: []string{"http/1.1"}}, "https"
	}
	addr := s.str("addr")
	var err error
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		e.Listener, err = listenUnix(path, s.str("key") != "")
		e.url = scheme + "://localhost/v1 on the socket " + path
	} else {
		if e.Listener, err = net.Listen("tcp", addr); err == nil {
			e.url = fmt.Sprintf("%s://%s/v1", scheme, e.Addr())
		}
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, advise(fmt.Errorf("another program listens on %s", addr), "stop it or choose another address with --addr")
	case err != nil:
		return nil, advise(err, "give an address of this machine, as in --addr 127.0.0.1:8750 or --addr unix:/run/user/1000/aquifer.sock")
	}
	if err := api.CheckExposure(e.Addr(), s.str("key")); err != nil {
		return nil, errors.Join(advise(err, "AQUIFER_API_KEY=... sets one"), e.Close())
	}
	return e, nil
}

// listenUnix opens a socket in the file system. Without a key only the user's own programs may connect, with one all that can
// reach the path. A socket that a killed server has left behind is replaced, one that somebody listens on is not.
func listenUnix(path string, shared bool) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("%s exists and is not a socket", path)
		}
		if c, err := net.Dial("unix", path); err == nil {
			return nil, errors.Join(syscall.EADDRINUSE, c.Close())
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// The permissions are set before anybody can have connected: nothing is accepted until they are.
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	mode := fs.FileMode(0o600)
	if shared {
		mode = 0o666
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}
