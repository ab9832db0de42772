package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"aquifer/runtime/engine"
)

// savedChat is the form of a saved conversation.
type savedChat struct {
	Version  int               `json:"version"`
	Model    string            `json:"model"`
	System   string            `json:"system,omitempty"`
	Set      map[string]string `json:"set,omitempty"` // what /set was told
	Messages []savedMessage    `json:"messages"`
}

type savedMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

const savedVersion = 1

// save writes the conversation under a name.
func (c *conversation) save(name string) error {
	file, err := chatFile(name)
	if err != nil {
		return err
	}
	out := savedChat{Version: savedVersion, Model: c.sess.ck.Name, System: c.ask.system, Set: c.changed, Messages: []savedMessage{}}
	for _, m := range c.messages {
		out.Messages = append(out.Messages, savedMessage{m.Role, m.Content})
	}
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	if err := c.data.write(file, append(data, '\n')); err != nil {
		return err
	}
	c.tell("saved %s as %s", plural(len(c.messages), "message"), name)
	return nil
}

// load takes up a saved conversation, all of it or nothing.
func (c *conversation) load(name string) error {
	if name == "" {
		return c.listSaved()
	}
	file, err := chatFile(name)
	if err != nil {
		return err
	}
	text, err := c.data.read(file, maxChat)
	if err != nil {
		return fmt.Errorf("%s can't be read: %w; /load lists what is saved", name, err)
	}
	in, err := parseSaved(text)
	if err != nil {
		return fmt.Errorf("%s is no saved conversation: %w", name, err)
	}
	ask := c.ask
	ask.system = in.System
	for name, value := range in.Set {
		if err := ask.change(name, value); err != nil {
			return err
		}
	}
	c.ask, c.changed, c.messages = ask, in.Set, nil
	for _, m := range in.Messages {
		c.messages = append(c.messages, engine.Message{Role: m.Role, Content: m.Content})
	}
	with := ""
	if in.Model != c.sess.ck.Name {
		with = ", which were with " + in.Model
	}
	c.tell("%s of %s are here again%s", plural(len(c.messages), "message"), name, with)
	return nil
}

// parseSaved reads a file that anybody may have written.
func parseSaved(text string) (in savedChat, err error) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return in, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return in, errors.New("something follows its end")
	}
	if in.Version != savedVersion {
		return in, fmt.Errorf("its version is %d, this program knows %d", in.Version, savedVersion)
	}
	for i, m := range in.Messages {
		if want := []string{"user", "assistant"}[i%2]; m.Role != want {
			return in, fmt.Errorf("messages[%d].role is %.20q, must be %s", i, m.Role, want)
		}
	}
	return in, nil
}

func (c *conversation) listSaved() error {
	names, err := c.data.chats()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		c.tell("nothing is saved yet; /save NAME does that")
		return nil
	}
	slices.Sort(names)
	c.tell("saved: %s; /load NAME", strings.Join(names, ", "))
	return nil
}
