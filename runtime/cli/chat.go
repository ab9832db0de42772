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

const chatHelp = `  /reset   forget the conversation
  /help    this list
  /exit    leave, as Ctrl-D does
Ctrl-C stops an answer. Arrow keys edit the line and bring back earlier ones.`

// conversation is an interactive chat.
type conversation struct {
	*app
	sess     *session
	ask      ask
	editor   *editor
	messages []engine.Message
	sigint   chan os.Signal
}

func (a *app) runChat(s settings, model string, in, out *os.File) error {
	ctx, stop := interruptible()
	sess, err := a.load(ctx, s, model, loadOptions{maxSeqs: 1})
	stop()
	if err != nil {
		return err
	}
	c := &conversation{
		app: a, sess: sess, ask: newAsk(s, sess.ck.Generation()), editor: newEditor(in, out), sigint: make(chan os.Signal, 1),
	}
	// From here on SIGINT ends an answer and never the program, whenever it comes.
	signal.Notify(c.sigint, os.Interrupt)
	defer signal.Stop(c.sigint)
	ctx, stop = signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c.tell("type a message; /help lists what else; Ctrl-D leaves")
	return errors.Join(c.loop(ctx), sess.close())
}

func (c *conversation) loop(ctx context.Context) error {
	leaving := false // Ctrl-C was the last key
	for {
		line, err := c.editor.read(ctx, ">>> ")
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
		switch text := strings.TrimSpace(line); {
		case text == "":
		case text == "/exit", text == "/bye":
			return nil
		case text == "/reset":
			c.messages = nil
			c.tell("the conversation starts anew")
		case text == "/help":
			io.WriteString(c.out, chatHelp+"\n")
		case strings.HasPrefix(text, "/") && !strings.ContainsAny(text, " \n"):
			c.tell("no command %s; /help lists them", text)
		default:
			if err := c.turn(ctx, text); err != nil {
				return err
			}
		}
	}
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
		c.tell("%v; /reset starts a new conversation", tooLong)
		return nil
	case errors.Is(err, engine.ErrClosed), errors.Is(err, engine.ErrBroken):
		return err
	}
	c.tell("%v", err)
	return nil
}
