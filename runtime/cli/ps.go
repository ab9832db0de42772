package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"aquifer/api/openai"
)

func (a *app) psCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "Show what a running server has loaded",
		Long: "ps asks the server at --addr which models it has in memory or is loading, what they take, how many requests use\n" +
			"them now, and until when they stay if nobody asks for them.",
		Example: "  aquifer ps\n  AQUIFER_API_KEY=secret aquifer ps --addr 192.168.1.5:8750 --json",
	}
	addKnobs(cmd, []string{"addr", "key", "json"})
	return command(cmd, 0, 0, func(s settings, _ []string) error {
		ctx, stop := interruptible()
		defer stop()
		list, err := askRunning(ctx, s.str("addr"), s.str("key"))
		switch {
		case ctx.Err() != nil:
			return errInterrupted
		case err != nil:
			return err
		case s.boolean("json"):
			return writeIndented(a.out, list.Models)
		}
		return printRunning(a.out, list.Models, time.Now())
	})
}

// Bounds of what a server says.
const (
	psTime = 10 * time.Second
	psSize = 1 << 20
)

// askRunning asks a server what it has loaded.
func askRunning(ctx context.Context, addr, key string) (list openai.Running, err error) {
	base, transport, err := reach(addr)
	if err != nil {
		return list, err
	}
	ctx, cancel := context.WithTimeout(ctx, psTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/ps", nil)
	if err != nil {
		return list, notAnAddress(addr)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	// Neither a proxy nor another host is to see the key.
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return list, advise(fmt.Errorf("no server answers at %s: %w", addr, errors.Unwrap(err)), "aquifer serve starts one, --addr or AQUIFER_HOST names another")
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, psSize))
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return list, advise(fmt.Errorf("the server at %s wants another key", addr), "set AQUIFER_API_KEY to the one it was started with")
	case err == nil && resp.StatusCode == http.StatusOK:
		err = json.Unmarshal(body, &list)
	case err == nil:
		err = fmt.Errorf("it says %s", resp.Status)
	}
	if err == nil && list.Models == nil {
		err = errors.New("its answer names no models")
	}
	if err != nil {
		return list, advise(fmt.Errorf("what listens on %s is no aquifer of this version: %w", addr, err), "--addr or AQUIFER_HOST names another")
	}
	return list, nil
}

func notAnAddress(addr string) error {
	return usageErrorf("--addr %.100q: must be HOST:PORT, as in 127.0.0.1:8750, https://HOST:PORT or unix:PATH", addr)
}

// reach returns the base of a server's URLs, and how to connect to it.
func reach(addr string) (base string, t *http.Transport, err error) {
	t = &http.Transport{DisableKeepAlives: true}
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		return "http://localhost", t, nil
	}
	scheme, rest := "http", addr
	if name, ok := strings.CutPrefix(addr, "https://"); ok {
		scheme, rest = "https", name
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return "", nil, notAnAddress(addr)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // where a server that listens on all addresses can be reached
	}
	return scheme + "://" + net.JoinHostPort(host, port), t, nil
}

func printRunning(w io.Writer, models []openai.RunningModel, now time.Time) error {
	if len(models) == 0 {
		_, err := fmt.Fprintln(w, "no model is loaded; the first request for one loads it")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATUS\tSIZE\tBACKEND\tCONTEXT\tREQUESTS\tUNTIL")
	for _, m := range models {
		status, space, context := m.Status, "", ""
		if m.Bytes > 0 {
			space, context = size(m.Bytes), strconv.Itoa(m.Context)
		} else if m.Progress > 0 {
			status += fmt.Sprintf(" %.0f %%", 100*m.Progress)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", oneLine(m.ID), oneLine(status), space, oneLine(m.Backend), context, m.Requests, until(m, now))
	}
	return table.Flush()
}

// until says how long a model stays.
func until(m openai.RunningModel, now time.Time) string {
	switch {
	case m.Status != "loaded":
		return ""
	case m.Requests > 0 && !m.Pinned:
		return "in use"
	case m.ExpiresAt == nil:
		return "for good"
	}
	left := m.ExpiresAt.Sub(now).Round(time.Second)
	if left >= 2*time.Minute {
		left = left.Round(time.Minute)
		return fmt.Sprintf("%d minutes", int(left.Minutes()))
	}
	return plural(max(int(left.Seconds()), 0), "second")
}
