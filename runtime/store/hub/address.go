package hub

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
)

// A server that the user did not name, to which another one redirects, must be a public one: otherwise a hub, or a model's
// URL, could make this machine ask others in its network, or the one that gives out a cloud's credentials. The address is
// checked when it is dialled, so that a name can't mean one thing when it is checked and another when it is used. A
// hub that is itself in a private network may redirect inside it.

// hop is what the dialler has to know of a request.
type hop struct {
	named   bool // the user named this server
	proxied bool // the address dialled is the proxy's, which the user chose
}

type hopKey struct{}

// AddressError says that a redirect leads to an address that it must not.
type AddressError struct{ Addr string }

func (e *AddressError) Error() string {
	return fmt.Sprintf("the server redirects to %s, an address inside a private network; that is refused", e.Addr)
}

func (c *Client) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	h, _ := ctx.Value(hopKey{}).(hop)
	if h.proxied {
		return nil
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &AddressError{address}
	}
	addr := ap.Addr().Unmap()
	if h.named {
		if !c.public(addr) {
			c.local.Store(true)
		}
		return nil
	}
	return c.checkAddr(addr)
}

// checkAddr checks the address of a server that the user did not name.
func (c *Client) checkAddr(addr netip.Addr) error {
	if c.public(addr) || c.local.Load() && (addr.IsPrivate() || addr.IsLoopback()) {
		return nil
	}
	return &AddressError{addr.String()}
}

// shared are ranges that are no public addresses although package netip has no word for them.
var shared = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"),  // of providers, behind their NAT
	netip.MustParsePrefix("192.0.0.0/24"),   // protocol assignments
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved, and broadcast
	netip.MustParsePrefix("0.0.0.0/8"),      // this network
	netip.MustParsePrefix("64:ff9b:1::/48"), // translation inside a network
	netip.MustParsePrefix("64:ff9b::/96"),   // translation, of any address
	netip.MustParsePrefix("2002::/16"),      // 6to4, of any address
	netip.MustParsePrefix("2001::/23"),      // protocol assignments, Teredo
	netip.MustParsePrefix("fec0::/10"),      // site-local, of old
}

func publicAddress(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	for _, p := range shared {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}
