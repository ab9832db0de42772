package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"aquifer/api"
	"aquifer/api/openai"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve [MODEL]",
		Short: "Answer OpenAI clients over HTTP",
		Long: "serve loads a model and answers OpenAI clients: /v1/chat/completions, /v1/models, /health; monitors read\n" +
			"/metrics (Prometheus), /props and /slots. While it loads, /health says 503. Ctrl-C finishes running answers and ends; a second one ends at once.",
		Example: "  aquifer serve llama3.2:1b --parallel 4\n" +
			"  aquifer serve ./Llama-3.2-1B-Instruct-AQLM\n" +
			"  AQUIFER_API_KEY=secret aquifer serve --addr 0.0.0.0:8750",
	}
	a.completeModels(cmd, 1, stored)
	addKnobs(cmd, modelKnobs, []string{"yes", "endpoint", "addr", "key", "parallel", "queue", "queue-timeout", "unknown-fields", "speculate"}, deviceKnobs)
	return command(cmd, 0, 1, func(s settings, args []string) error {
		path, err := oneModel(s, args)
		if err != nil {
			return err
		}
		return a.serve(s, path)
	})
}

// oneModel takes the model from the flag or the only argument.
func oneModel(s settings, args []string) (string, error) {
	path := s.str("model")
	if len(args) == 0 {
		return path, nil
	}
	if path != "" {
		return "", usageErrorf("two models: %s and %s; name one", path, args[0])
	}
	return args[0], nil
}

// serve listens first, so that a port in use is reported before a large model is read, and answers 503 until the
// model is loaded.
func (a *app) serve(s settings, path string) error {
	ctx, stop := interruptible()
	defer stop()
	ln, err := listen(s.str("addr"), s.str("key"))
	if err != nil {
		return err
	}
	server, err := api.New(api.Config{
		Key: s.str("key"), Build: "aquifer " + version, Log: slog.New(slog.NewTextHandler(a.err, nil)), IgnoreUnknown: s.str("unknown-fields") == "ignore",
	})
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	serving, halt := context.WithCancel(ctx)
	defer halt()
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, ln) }()

	var sess *session
	if path, err = a.locateOrPull(ctx, s, path); err == nil {
		sess, err = a.load(ctx, s, path, loadOptions{
			maxSeqs: s.integer("parallel"), maxQueue: s.integer("queue"), queueTimeout: s.duration("queue-timeout"),
		})
	}
	if err != nil {
		halt()
		return errors.Join(err, <-served)
	}
	err = server.SetModels(openai.Model{
		ID: sess.ck.Name, Engine: openai.Use(sess.engine), Created: modified(path),
		Defaults: recommended(sess.ck.Generation()),
	})
	if err != nil {
		halt()
		return errors.Join(err, <-served, sess.close())
	}
	a.tell("%s answers at http://%s/v1", sess.ck.Name, ln.Addr())
	return errors.Join(<-served, sess.close())
}

// listen opens the address. It refuses one that others can reach when there is no key.
func listen(addr, key string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, advise(fmt.Errorf("another program listens on %s", addr), "stop it or choose another port with --addr")
	case err != nil:
		return nil, advise(err, "give an address of this machine, as in --addr 127.0.0.1:8750")
	}
	if err := api.CheckExposure(ln.Addr(), key); err != nil {
		return nil, errors.Join(advise(err, "AQUIFER_API_KEY=... sets one"), ln.Close())
	}
	return ln, nil
}

// modified is when the model was made, as far as its files tell; zero if they don't.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
