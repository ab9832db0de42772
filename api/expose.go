package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// CheckExposure refuses an address that other machines can reach when there is no key. Whoever opens the listener
// should call it first; Serve calls it again.
func CheckExposure(addr net.Addr, key string) error {
	if key != "" || addr.Network() == "unix" {
		return nil
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err == nil && ap.Addr().Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("api: %s can be reached from other machines and no API key is set; set a key, or listen on 127.0.0.1", addr)
}

// hostAllowed reports whether the Host header names this server. A page on the web can point a name of its own at a
// loopback address and then counts as this server's own page to the browser; the name in the Host header gives it
// away. Addresses are no names, so the one the connection arrived at is fine, whatever the port: tunnels change it.
func (s *Server) hostAllowed(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if s.hosts[strings.ToLower(host)] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Zone() != "" {
		return false
	}
	if ip.Unmap().IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	ap, err := netip.ParseAddrPort(local.String())
	return err == nil && ap.Addr().Unmap().WithZone("") == ip.Unmap()
}
