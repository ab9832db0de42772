package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"aquifer/runtime/store"
	"aquifer/runtime/store/hub"
)

// hubHome is the folder of everything that has to do with the hub, as its own programs find it.
func hubHome() (string, error) {
	if dir := environment("HF_HOME"); dir != "" {
		return expandHome(dir)
	}
	if dir := environment("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface"), nil
	}
	return expandHome("~/.cache/huggingface")
}

// expandHome replaces ~ by the user's folder.
func expandHome(path string) (string, error) {
	if path != "~" && !strings.HasPrefix(path, "~/") && !strings.HasPrefix(path, `~\`) {
		return path, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", advise(err, "set HF_HOME to the folder that models are kept in")
	}
	return filepath.Join(home, path[1:]), nil
}

// openStore opens the store; make says that it is about to be filled.
func openStore(make bool) (*store.Store, error) {
	home, err := hubHome()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(home, "hub")
	if cache := environment("HF_HUB_CACHE"); cache != "" {
		if dir, err = expandHome(cache); err != nil {
			return nil, err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	s, err := store.Open(store.Config{Hub: dir, Own: filepath.Join(home, "aquifer")}, make)
	return s, advise(err, "set HF_HOME to a folder that can be used")
}

// maxToken bounds the file of the token.
const maxToken = 4 << 10

// hubToken is the user's token for the hub; empty if there is none.
func hubToken() (string, error) {
	if token := environment("HF_TOKEN"); token != "" {
		return strings.TrimSpace(token), nil
	}
	path := environment("HF_TOKEN_PATH")
	if path == "" {
		home, err := hubHome()
		if err != nil {
			return "", err
		}
		path = filepath.Join(home, "token")
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", advise(err, "check the file, or set HF_TOKEN")
	}
	defer f.Close()
	text, err := readText(f, maxToken)
	return strings.TrimSpace(text), advise(err, "check %s, or set HF_TOKEN", path)
}

// defaultEndpoint is the hub that is meant where no flag says another.
func defaultEndpoint() string {
	k := findKnob("endpoint")
	if value := environment(k.env); value != "" {
		return value
	}
	return k.def.(string)
}

// openHub returns a client for the hub that the flags name.
func openHub(s settings) (*hub.Client, error) {
	token, err := hubToken()
	if err != nil {
		return nil, err
	}
	cfg := hub.Config{Endpoint: s.str("endpoint"), Token: token, UserAgent: "aquifer/" + version}
	if s.has("bandwidth") {
		cfg.Bandwidth = int64(s.float("bandwidth") * 1e6)
	}
	c, err := hub.New(cfg)
	if err != nil {
		return nil, usageErrorf("%w; --endpoint and HF_ENDPOINT name the hub", err)
	}
	return c, nil
}

// adviseHub says what to do about an answer of the hub, or the lack of one.
func adviseHub(err error, c *hub.Client, r store.Repo) error {
	if text := c.Explain(err, r); text != "" {
		return advise(err, "%s", text)
	}
	if hub.Temporary(err) {
		return advise(err, "check the connection and pull again: it goes on where it stopped")
	}
	return advise(err, "pull again: it goes on where it stopped")
}

// storeError says what to do about an error of the store.
func storeError(arg string, err error) error {
	switch {
	case errors.Is(err, store.ErrInUse):
		return advise(fmt.Errorf("%s is %w", arg, store.ErrInUse), "end that first: a chat or a pull, or a server, of which aquifer ps says what it has loaded")
	case errors.Is(err, fs.ErrNotExist):
		return advise(fmt.Errorf("%s is not in the store", arg), "aquifer list shows what is")
	}
	return advise(err, "aquifer doctor looks at the store")
}
