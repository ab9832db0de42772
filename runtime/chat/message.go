package chat

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string // "system", "developer", "user", "assistant" or "tool"
	Content string
	Name    string // of the speaker, or of the function whose result this is; most templates do not read it

	Reasoning string     // of an assistant: what it thought before it wrote Content
	Calls     []ToolCall // of an assistant, behind Content
	CallID    string     // of a tool: which call this is the result of
}

// ToolCall is a call that an assistant asked for.
type ToolCall struct {
	ID        string
	Name      string
	Arguments string // a JSON object
}

// Tool is a function that the assistant may call.
type Tool struct {
	Name       string
	Definition string // JSON, as templates show it: {"type": "function", "function": {"name": ..., ...}}
	Parameters string // JSON Schema of the arguments; empty for any object
}

// Choice says how tools are to be used.
type Choice struct {
	Must   bool     // the answer is calls, not text
	Names  []string // of the tools that may be called; nil for all
	Single bool     // one call at most
}

// Variable is a value that a request sets for the template.
type Variable struct {
	Name string
	JSON string
}

// Conversation is what a prompt is made of.
type Conversation struct {
	Messages  []Message
	Tools     []Tool
	Choice    Choice // of Tools
	Variables []Variable
	Effort    string // how much to reason, in OpenAI's words: none, minimal, low, medium, high or xhigh; empty is the template's default
	Continue  bool   // the answer goes on with the last message, which is the assistant's
}

// shortID makes an identifier of nine letters and digits, which some templates insist on. Equal ones stay equal.
func shortID(id string) string {
	const size = 9
	if len(id) == size && strings.IndexFunc(id, func(r rune) bool { return !isAlphanumeric(r) }) < 0 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return strings.NewReplacer("-", "x", "_", "y").Replace(base64.RawURLEncoding.EncodeToString(sum[:]))[:size]
}

func isAlphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
