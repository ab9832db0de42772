package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"aquifer/api"
	"aquifer/api/openai"
	"aquifer/runtime/host"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve [MODEL...]",
		Short: "Answer OpenAI clients over HTTP",
		Long: "serve answers OpenAI clients: /v1/chat/completions, /v1/models, /health; /ps says what is loaded, and\n" +
			"monitors read /metrics (Prometheus), /props and /slots.\n\n" +
			"Without a model it offers the embedded one and all in the store, also those that are pulled while it runs. A model\n" +
			"is loaded when it is first asked for, stays for --keep-alive after its last use, and makes room for another if it\n" +
			"has to; running answers are always finished first. One that is pulled anew counts from its next load on.\n\n" +
			"With MODEL it offers those alone, loads them before it begins, and keeps them; /health says 503 until they are there.\n\n" +
			"With --prefix-cache, what was run of prompts is kept on disk when a model is unloaded, for which it stays a few seconds\n" +
			"longer, and restored when it is loaded again: a prompt that begins like an earlier one of the same client starts behind\n" +
			"what they share, also after a restart.\n\n" +
			"Ctrl-C finishes running answers and ends; a second one ends at once.",
		Example: "  aquifer serve\n" +
			"  aquifer serve llama3.2:1b --parallel 4\n" +
			"  aquifer serve ./Llama-3.2-1B-Instruct-AQLM\n" +
			"  AQUIFER_API_KEY=secret aquifer serve --addr 0.0.0.0:8750",
	}
	a.completeModels(cmd, -1, stored)
	addKnobs(cmd, modelKnobs, []string{
		"yes", "endpoint", "addr", "key", "tls-cert", "tls-key", "host", "origin", "parallel", "queue", "queue-timeout", "key-answers", "keep-alive", "max-models", "unknown-fields",
		"speculate",
	}, prefixKnobs, deviceKnobs)
	return command(cmd, 0, -1, func(s settings, args []string) error {
		if path := s.str("model"); path != "" {
			args = append([]string{path}, args...)
		}
		return a.serve(s, args)
	})
}

// serve listens before it loads anything, so that a port in use is reported before a large model is read.
func (a *app) serve(s settings, args []string) error {
	ctx, stop := interruptible()
	defer stop()
	log := slog.New(slog.NewTextHandler(a.err, nil))
	ln, err := listen(s, log)
	if err != nil {
		return err
	}
	models, err := a.shelve(ctx, s, log, args)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	server, err := api.New(api.Config{
		Key: s.str("key"), Hosts: s.list("host"), Origins: s.list("origin"), TLS: ln.tls, Models: models, Build: "aquifer " + version, Log: log,
		IgnoreUnknown: s.str("unknown-fields") == "ignore", Limits: api.Limits{KeyAnswers: s.integer("key-answers")},
		Prefixes: models.prefixTotals(),
	})
	if err != nil {
		return errors.Join(err, ln.Close(), models.close())
	}
	serving, halt := context.WithCancel(ctx)
	defer halt()
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, ln.Listener) }()
	if err := models.begin(ctx, ln.url); err != nil {
		halt()
		return errors.Join(err, <-served, models.close())
	}
	return errors.Join(<-served, models.close())
}

// shelve finds the models that the command line names, and pulls those that are missing if the user agrees.
func (a *app) shelve(ctx context.Context, s settings, log *slog.Logger, args []string) (*shelf, error) {
	var pinned []offer
	for _, arg := range args {
		path, err := a.locateOrPull(ctx, s, arg)
		if err != nil {
			return nil, err
		}
		o := a.pinnedOffer(arg, path)
		if slices.ContainsFunc(pinned, func(p offer) bool { return p.id == o.id }) {
			return nil, usageErrorf("two models are called %s; name it once", o.id)
		}
		pinned = append(pinned, o)
	}
	return a.newShelf(s, log, pinned)
}

// begin loads the models that stay and says what the server offers.
func (h *shelf) begin(ctx context.Context, url string) error {
	for _, o := range h.pinned {
		if err := h.host.Pin(ctx, o.id); err != nil {
			return h.notLoaded(ctx, err)
		}
	}
	offers, err := h.offers()
	if err != nil {
		return err
	}
	list := offerNames(offers)
	switch {
	case len(h.pinned) > 0:
		h.tell("%s answers at %s", list, url)
	case len(offers) == 0:
		h.tell("the server answers at %s and has no models yet: aquifer pull NAME fetches one", url)
	default:
		h.tell("the server answers at %s and loads what is asked for: %s", url, list)
	}
	return nil
}

// notLoaded is the error of a model without which the server does not begin, as the user of the command line is told.
func (h *shelf) notLoaded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	var public *openai.PublicError
	if errors.As(err, &public) && public.Err != nil {
		return public.Err
	}
	var load *host.LoadError
	if errors.As(err, &load) {
		return load.Err
	}
	return err
}

// modified is when the model was made, as far as its files tell; zero if they don't.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
