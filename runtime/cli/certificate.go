package cli

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a server's, read again when its files change: renewals need no restart.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	changed [2]time.Time // of the files, when they were last tried
}

func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, changed: modifiedBoth(certFile, keyFile)}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("the TLS certificate cannot be used: %w", err)
	}
	c.current = &pair
	return c, nil
}

// get is asked at every handshake. Files that do not fit together, as in the middle of a renewal, leave the old certificate
// in use until they change again.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := modifiedBoth(c.certFile, c.keyFile); now != c.changed {
		c.changed = now
		if pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile); err != nil {
			c.log.Warn("the changed TLS certificate cannot be used; the old one stays", "err", err)
		} else {
			c.current = &pair
		}
	}
	return c.current, nil
}

func modifiedBoth(a, b string) (times [2]time.Time) {
	for i, path := range []string{a, b} {
		if info, err := os.Stat(path); err == nil {
			times[i] = info.ModTime()
		}
	}
	return times
}
