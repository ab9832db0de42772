package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"aquifer/tokenizer"
)

func (a *app) tokenizeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tokenize MODEL [TEXT...]",
		Short: "Turn text into token ids, or ids into text",
		Long: "tokenize prints the token ids of a text, one a line with the piece it stands for. MODEL is a checkpoint\n" +
			"folder, a GGUF file or a tokenizer.json. Without TEXT it reads stdin. Control tokens written in the text\n" +
			"are recognised; --decode leaves them out, as the Hugging Face library does.",
		Example: "  aquifer tokenize ./tokenizer.json \"Hello, world\"\n" +
			"  aquifer tokenize ./tokenizer.json --decode 9906 11 1917",
	}
	a.completeModels(cmd, 1, stored)
	addKnobs(cmd, []string{"no-special", "decode", "jsonl", "json"})
	return command(cmd, 1, -1, func(s settings, args []string) error {
		tok, err := a.openTokenizer(args[0])
		if err != nil {
			return err
		}
		t := tokenizing{app: a, tok: tok, special: !s.boolean("no-special"), decode: s.boolean("decode")}
		if s.boolean("jsonl") {
			if len(args) > 1 {
				return usageErrorf("--jsonl reads stdin and takes no text")
			}
			return t.lines()
		}
		text := strings.Join(args[1:], " ")
		if len(args) == 1 {
			if text, err = readText(a.in, maxPrompt); err != nil {
				return advise(fmt.Errorf("stdin: %w", err), "pipe in UTF-8 text")
			}
		}
		return t.one(text, s.boolean("json"))
	})
}

// openTokenizer loads the tokenizer of a model, or a tokenizer.json by itself.
func (a *app) openTokenizer(path string) (*tokenizer.Tokenizer, error) {
	if filepath.Ext(path) == ".json" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, advise(err, "name a tokenizer.json, a checkpoint folder or a GGUF file")
		}
		tok, err := tokenizer.Parse(data)
		return tok, advise(err, "this must be a tokenizer.json as Hugging Face's tokenizers library writes it")
	}
	ck, err := a.openCheckpoint(path)
	if err != nil {
		return nil, err
	}
	defer ck.Close()
	tok, err := ck.Tokenizer()
	return tok, advise(err, "a checkpoint needs its tokenizer.json: download it again")
}

type tokenizing struct {
	*app
	tok             *tokenizer.Tokenizer
	special, decode bool
}

func (t tokenizing) encode(text string) []int32 {
	return t.tok.Encode(text, tokenizer.EncodeOptions{AddSpecial: t.special, ParseSpecial: true})
}

// one handles a single text, or a list of ids.
func (t tokenizing) one(text string, asJSON bool) error {
	out := bufio.NewWriter(t.out)
	defer out.Flush()
	if t.decode {
		ids, err := parseIDs(text, t.tok.Size())
		if err != nil {
			return err
		}
		_, err = io.WriteString(textOutput(t.out), t.tok.Decode(ids, true)+"\n")
		return err
	}
	ids := t.encode(text)
	if asJSON {
		return writeIDs(out, ids)
	}
	for _, id := range ids {
		if _, err := fmt.Fprintf(out, "%d\t%q\n", id, t.tok.Bytes(id)); err != nil {
			return err
		}
	}
	return nil
}

// lines handles one JSON value a line: strings to arrays of ids, or the other way.
func (t tokenizing) lines() error {
	in := bufio.NewScanner(t.in)
	in.Buffer(make([]byte, 64<<10), maxPrompt)
	out := bufio.NewWriter(t.out)
	defer out.Flush()
	for n := 1; in.Scan(); n++ {
		if err := t.line(out, in.Bytes()); err != nil {
			return advise(fmt.Errorf("stdin line %d: %w", n, err), "each line must be one JSON %s", t.want())
		}
	}
	return advise(in.Err(), "each line must be one JSON %s of at most %d MiB", t.want(), maxPrompt>>20)
}

func (t tokenizing) want() string {
	if t.decode {
		return "array of token ids"
	}
	return "string"
}

func (t tokenizing) line(out io.Writer, line []byte) error {
	if t.decode {
		var ids []int32
		if err := json.Unmarshal(line, &ids); err != nil {
			return err
		}
		if err := checkIDs(ids, t.tok.Size()); err != nil {
			return err
		}
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return enc.Encode(t.tok.Decode(ids, true))
	}
	var text string
	if err := json.Unmarshal(line, &text); err != nil {
		return err
	}
	return writeIDs(out, t.encode(text))
}

func writeIDs(out io.Writer, ids []int32) error {
	if ids == nil {
		ids = []int32{} // [] and not null
	}
	return json.NewEncoder(out).Encode(ids)
}

// parseIDs reads token ids separated by commas or white space.
func parseIDs(text string, vocab int) ([]int32, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n[]", r) })
	ids := make([]int32, len(fields))
	for i, f := range fields {
		id, err := strconv.ParseInt(f, 10, 32)
		if err != nil {
			return nil, usageErrorf("%q is no token id; give numbers, as in 1,2,3", f)
		}
		ids[i] = int32(id)
	}
	return ids, checkIDs(ids, vocab)
}

func checkIDs(ids []int32, vocab int) error {
	for _, id := range ids {
		if id < 0 || int(id) >= vocab {
			return usageErrorf("token id %d is not in the vocabulary; it has ids 0 to %d", id, vocab-1)
		}
	}
	return nil
}
