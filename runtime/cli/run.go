package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"aquifer/runtime/engine"
	"aquifer/runtime/kv/prefixfile"
)

func (a *app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [MODEL] [PROMPT...]",
		Short: "Answer a prompt, or chat on a terminal",
		Long: "run answers a prompt and ends; without a prompt it starts a chat on a terminal, or reads the prompt from\n" +
			"stdin. A word - in the prompt stands for stdin.\n\n" +
			"The model is --model, or else a first argument that names one: a name that aquifer list or aquifer list --remote\n" +
			"shows, a folder, anything spelled like a path, a .gguf file, or ORG/REPO before a prompt; or else the embedded\n" +
			"one. A model that is not in the store is pulled if you agree.\n\n" +
			"In a chat, lines that begin with a slash are commands, which /help lists: for the system message, the settings, and\n" +
			"to save a conversation and load it again. Lines are kept for the next chats, for your eyes only, unless --no-history.\n\n" +
			"With --prefix-cache, what was run is kept on disk: a conversation that is loaded again, or a prompt that begins like an\n" +
			"earlier one, starts behind what was run before.",
		Example: "  aquifer run \"Why is the sky blue?\"\n" +
			"  aquifer run llama3.2:1b \"Why is the sky blue?\"\n" +
			"  aquifer run ./Llama-3.2-1B-Instruct-AQLM \"Why is the sky blue?\"\n" +
			"  git diff | aquifer run \"Summarise this change:\" -",
	}
	addKnobs(cmd, modelKnobs, []string{"yes", "endpoint"}, askKnobs, []string{"no-wordwrap", "no-history", "speculate"}, prefixKnobs, deviceKnobs)
	a.completeModels(cmd, 1, stored)
	return command(cmd, 0, -1, func(s settings, args []string) error {
		model, words := a.splitModel(s.str("model"), args)
		in, inOK := terminal(a.in)
		out, outOK := terminal(a.out)
		talk := len(words) == 0 && inOK && outOK
		var text string
		if !talk {
			var err error
			if text, err = a.promptText(words); err != nil { // before gigabytes are fetched
				return err
			}
		}
		path, err := a.pullIfMissing(s, model)
		switch {
		case err != nil:
			return err
		case talk:
			return a.runChat(s, path, in, out)
		}
		return a.runOnce(s, path, text)
	})
}

// interruptible is a context that the first SIGINT or SIGTERM ends; the second one kills the process.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func (a *app) runOnce(s settings, model, text string) error {
	ctx, stop := interruptible()
	defer stop()
	sess, err := a.loadRun(ctx, s, model)
	if err != nil {
		return err
	}
	q := newAsk(s, sess.ck.Generation())
	if q.raw {
		_, err = a.complete(ctx, sess.session, q, text)
	} else {
		_, err = a.answer(ctx, sess.session, q, []engine.Message{{Role: "user", Content: text}})
	}
	return errors.Join(err, a.closeRun(sess))
}

// runSession is a session of run, which keeps what it ran if that is wanted.
type runSession struct {
	*session
	prefixes *prefixfile.Folder
}

func (a *app) loadRun(ctx context.Context, s settings, model string) (runSession, error) {
	prefixes, err := a.openPrefixCache(s)
	if err != nil {
		return runSession{}, err
	}
	sess, err := a.load(ctx, s, model, loadOptions{maxSeqs: 1, prefixes: prefixes})
	if err != nil {
		return runSession{}, errors.Join(err, closePrefixCache(prefixes))
	}
	a.tellPrefixes("restored", sess.ck.Name, sess.engine.Restored())
	return runSession{sess, prefixes}, nil
}

// closeRun says what went wrong with the prefixes, but not that all went well: it is the end of an answer.
func (a *app) closeRun(s runSession) error {
	err := errors.Join(s.close(), closePrefixCache(s.prefixes))
	if saved := s.engine.Saved(); saved.Err != nil {
		a.tellPrefixes("saved", s.ck.Name, saved)
	}
	return err
}
