package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// chatCommand is a line that begins with a slash.
type chatCommand struct {
	names []string // the first one is shown
	args  string
	help  string
	do    func(c *conversation, arg string) error
}

// errLeave ends the chat.
var errLeave = errors.New("leave")

func chatCommands() []chatCommand {
	return []chatCommand{
		{[]string{"/system"}, "[TEXT]", `system message; without TEXT says what it is, "" removes it`, (*conversation).system},
		{[]string{"/set"}, "[NAME VALUE]", "how tokens are chosen; without NAME lists what can be set", (*conversation).set},
		{[]string{"/save"}, "NAME", "keep the conversation under a name", (*conversation).save},
		{[]string{"/load"}, "[NAME]", "go on with one that was saved; without NAME lists them", (*conversation).load},
		{[]string{"/clear", "/reset"}, "", "forget the conversation", (*conversation).clear},
		{[]string{"/help", "/?"}, "", "this list", (*conversation).help},
		{[]string{"/bye", "/exit", "/quit"}, "", "leave, as Ctrl-D does", func(*conversation, string) error { return errLeave }},
	}
}

// command runs a command; ok is false if the text is none. A path or a text that begins with a slash is a message.
func (c *conversation) command(text string) (ok bool, err error) {
	name, arg := text, ""
	if i := strings.IndexAny(text, " \n"); i >= 0 {
		name, arg = text[:i], text[i:]
	}
	all := chatCommands()
	i := slices.IndexFunc(all, func(x chatCommand) bool { return slices.Contains(x.names, name) })
	if i < 0 {
		return false, nil
	}
	if arg = strings.TrimSpace(arg); arg != "" && all[i].args == "" {
		return true, fmt.Errorf("%s takes nothing behind it", name)
	}
	if arg == "" && all[i].args != "" && all[i].args[0] != '[' {
		return true, fmt.Errorf("%s wants %s", name, all[i].args)
	}
	return true, all[i].do(c, arg)
}

const chatKeys = `
A message of several lines begins and ends with """. Ctrl-C stops an answer. The arrow keys edit the line and bring
back earlier ones.
`

func (c *conversation) help(string) error {
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, x := range chatCommands() {
		fmt.Fprintf(table, "  %s\t%s\n", strings.TrimSpace(x.names[0]+" "+x.args), x.help)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(c.out, chatKeys)
	return err
}

func (c *conversation) clear(string) error {
	c.messages = nil
	c.tell("the conversation starts anew")
	return nil
}

func (c *conversation) system(text string) error {
	switch text {
	case "":
		if c.ask.system == "" {
			c.tell("there is no system message")
			return nil
		}
		_, err := io.WriteString(c.out, printable(c.ask.system)+"\n")
		return err
	case `""`:
		text = ""
	}
	c.ask.system = unwrap(text)
	if len(c.messages) > 0 {
		c.tell("it counts from the next answer on; /clear forgets what was said under the old one")
	}
	return nil
}

func (c *conversation) set(arg string) error {
	name, value, _ := strings.Cut(arg, " ")
	if value = strings.TrimSpace(value); name == "" {
		return printOptions(c.out, &c.ask)
	}
	switch { // as in Ollama
	case name == "nowordwrap" && value == "":
		name, value = "no-wordwrap", "true"
	case name == "wordwrap" && value == "":
		name, value = "no-wordwrap", "false"
	}
	if value == "" {
		return fmt.Errorf("%.40s to what? /set lists what there is", name)
	}
	if err := c.ask.change(name, value); err != nil {
		return err
	}
	if c.changed == nil {
		c.changed = map[string]string{}
	}
	c.changed[name] = value
	if name == "stop" && value == strconv.Quote("") {
		delete(c.changed, name)
	}
	return nil
}

// fence opens and closes a text of several lines.
const fence = `"""`

// unfinished reports whether a message, or what is behind /system, has an opening fence and no closing one.
func unfinished(text string) bool {
	text = strings.TrimSpace(text)
	text = strings.TrimSpace(strings.TrimPrefix(text, "/system "))
	return strings.HasPrefix(text, fence) && (len(text) < 2*len(fence) || !strings.HasSuffix(text, fence))
}

// unwrap takes the fences off.
func unwrap(text string) string {
	if len(text) < 2*len(fence) || !strings.HasPrefix(text, fence) || !strings.HasSuffix(text, fence) {
		return text
	}
	return strings.TrimSpace(text[len(fence) : len(text)-len(fence)])
}
