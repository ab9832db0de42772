package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"aquifer/runtime/engine"
)

// conversation is an interactive chat.
type conversation struct {
	*app
	sess     *session
	ask      ask
	changed  map[string]string // what /set was told
	editor   *editor
	data     *userData
	messages []engine.Message
	sigint   chan os.Signal
}

func (a *app) runChat(s settings, model string, in, out *os.File) error {
	data, err := openUserData()
	if err != nil {
		return err
	}
	defer data.close()
	ctx, stop := interruptible()
	sess, err := a.loadRun(ctx, s, model)
	stop()
	if err != nil {
		return err
	}
	c := &conversation{
		app: a, sess: sess.session, ask: newAsk(s, sess.ck.Generation()), editor: newEditor(in, out), data: data, sigint: make(chan os.Signal, 1),
	}
	if !s.boolean("no-history") {
		c.remember()
	}
	// From here on SIGINT ends an answer and never the program, whenever it comes.
	signal.Notify(c.sigint, os.Interrupt)
	defer signal.Stop(c.sigint)
	ctx, stop = signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c.tell("type a message; /help lists what else; Ctrl-D leaves")
	return errors.Join(c.loop(ctx), a.closeRun(sess))
}

// remember takes up the lines of earlier chats and keeps those of this one. A history that can't be kept is no reason not
// to chat.
func (c *conversation) remember() {
	lines, err := c.data.history()
	if err != nil {
		c.tell("the lines of earlier chats can't be read: %v", err)
	}
	c.editor.history.lines = lines
	c.editor.history.keep = func(line string) {
		if err := c.data.add(historyFile, line); err != nil {
			c.editor.history.keep = nil
			c.tell("lines are not kept: %v", err)
		}
	}
}

func (c *conversation) loop(ctx context.Context) error {
	leaving := false // Ctrl-C was the last key
	for {
		text, err := c.entry(ctx)
		switch {
		case errors.Is(err, errCtrlC) && !leaving:
			leaving = true
			c.tell("Ctrl-C again or Ctrl-D leaves")
			continue
		case errors.Is(err, io.EOF), errors.Is(err, errCtrlC):
			io.WriteString(c.out, "\n")
			return nil
		case ctx.Err() != nil:
			return errInterrupted
		case err != nil:
			return err
		}
		leaving = false
		if unwrap(text) == "" {
			continue
		}
		switch ok, err := c.command(text); {
		case errors.Is(err, errLeave):
			return nil
		case err != nil:
			c.tell("%v", err)
		case ok:
		case strings.HasPrefix(text, "/") && !strings.ContainsAny(text, " \n"):
			c.tell("no command %s; /help lists them", text)
		default:
			if err := c.turn(ctx, unwrap(text)); err != nil {
				return err
			}
		}
	}
}

// entry reads a line, or several between fences.
func (c *conversation) entry(ctx context.Context) (string, error) {
	text, err := c.editor.read(ctx, prompt)
	for err == nil && unfinished(text) {
		var more string
		more, err = c.editor.read(ctx, continued)
		text += "\n" + more
	}
	return strings.TrimSpace(text), err
}

// turn answers one message. What went wrong with it is printed; the error returned ends the chat.
func (c *conversation) turn(ctx context.Context, text string) error {
	select { // a SIGINT from before the question is no wish to stop its answer
	case <-c.sigint:
	default:
	}
	answerCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.sigint:
			cancel()
		case <-answerCtx.Done():
		}
	}()
	if c.ask.raw {
		_, err := c.complete(answerCtx, c.sess, c.ask, text)
		return c.outcome(ctx, err)
	}
	messages := append(c.messages, engine.Message{Role: "user", Content: text})
	got, err := c.answer(answerCtx, c.sess, c.ask, messages)
	if got.text != "" { // an answer that was stopped stays in the conversation as far as it got
		c.messages = append(messages, engine.Message{Role: "assistant", Content: got.text})
	}
	return c.outcome(ctx, err)
}

func (c *conversation) outcome(ctx context.Context, err error) error {
	var tooLong *engine.ContextError
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case errors.Is(err, errInterrupted), err == nil:
		return nil
	case errors.As(err, &tooLong):
		c.tell("%v; /clear starts a new conversation", tooLong)
		return nil
	case errors.Is(err, engine.ErrClosed), errors.Is(err, engine.ErrBroken):
		return err
	}
	c.tell("%v", err)
	return nil
}
