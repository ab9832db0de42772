package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxPrompt bounds what is read from stdin; no supported context holds as much text.
const maxPrompt = 32 << 20

// splitModel takes the model from the arguments of run: the flag, or else a first argument that names one.
func (a *app) splitModel(flag string, args []string) (model string, prompt []string) {
	if flag == "" && len(args) > 0 && (a.isModelArg(args[0]) || len(args) > 1 && hubName.MatchString(args[0])) {
		return args[0], args[1:]
	}
	return flag, args
}

// promptText joins the words of a prompt; a word "-" stands for stdin, and so does no word at all.
func (a *app) promptText(words []string) (string, error) {
	if len(words) == 0 {
		if _, ok := terminal(a.in); ok {
			return "", usageErrorf("no prompt; give one as an argument, or run on a terminal to chat")
		}
		words = []string{"-"}
	}
	parts := make([]string, len(words))
	for i, w := range words {
		parts[i] = w
		if w == "-" {
			text, err := readText(a.in, maxPrompt)
			if err != nil {
				return "", advise(fmt.Errorf("prompt from stdin: %w", err), "pipe in UTF-8 text")
			}
			parts[i] = strings.TrimRight(text, "\r\n")
		}
	}
	text := strings.Join(parts, " ")
	if strings.TrimSpace(text) == "" {
		return "", usageErrorf(`the prompt is empty; give one, as in: aquifer run "Why is the sky blue?"`)
	}
	if !utf8.ValidString(text) {
		return "", usageErrorf("the prompt is not UTF-8 text; convert it first")
	}
	return text, nil
}

// readText reads all of r, at most limit bytes.
func readText(r io.Reader, limit int64) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return "", err
	}
	if int64(len(data)) > limit {
		return "", fmt.Errorf("longer than %d MiB", limit>>20)
	}
	if !utf8.Valid(data) {
		return "", errors.New("not UTF-8")
	}
	return string(data), nil
}
