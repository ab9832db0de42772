package cli

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// knob is one flag, and the environment variable that sets it when the flag is not given. The table below is the
// only place that defines either: the flags, their checks, --help and FLAGS.md come from it.
type knob struct {
	name, short string
	env         string   // empty for none
	def         any      // default; its type is the flag's: string, int, float64, bool, time.Duration, []string or []int
	defText     string   // says what happens without the flag, where the default value does not
	min, max    float64  // inclusive range of a number that is given; both 0 for any
	oneOf       []string // the allowed values of a string
	listIn      string   // the command in which an int becomes []int
	help        string
}

var knobs = []knob{
	// Which model, and how it is run.
	{name: "model", short: "m", def: "", defText: "the embedded model", help: "name in the store, ORG/REPO, checkpoint folder or GGUF file"},
	{name: "backend", def: "auto", oneOf: []string{"auto", "cpu", "ref"}, help: "what runs the model; auto takes cpu, or ref where there are no kernels"},
	{name: "level", def: "", defText: "the best this machine has", help: "instruction set of the cpu backend, see aquifer doctor"},
	{name: "threads", short: "t", def: 0, defText: "physical cores within the cgroup quota", max: 1024, listIn: "bench", help: "threads of the backend"},
	{name: "precision", def: "auto", oneOf: []string{"auto", "exact", "fast"}, help: "arithmetic of products with compressed weights; auto is fast where that keeps perplexity within 0.5 %"},
	{name: "head", def: "auto", oneOf: []string{"auto", "file", "q8_0"}, help: "form of the matrix behind the layers of a compressed model: as in its file, or q8_0, half of f16; auto is q8_0 unless --precision is exact"},
	{name: "kv", def: "f16", oneOf: []string{"f32", "f16", "q8_0"}, help: "type of cached keys and values; q8_0 takes about half the memory of f16"},
	{name: "speculate", def: "auto", help: "tokens that an answer may guess from earlier text and try in a step, or off; auto is 8, and unless --precision is exact for requests with a prediction only"},
	{name: "context", short: "c", def: 0, defText: "the model's, at most 8192", max: 1 << 24, help: "tokens a conversation can hold"},

	// What is asked, and how tokens are chosen.
	{name: "system", def: "", help: "system message"},
	{name: "max-tokens", short: "n", def: 1024, max: 1 << 24, help: "length of an answer at most; 0 goes on to the end of the context"},
	{name: "temperature", def: 0.0, defText: "the checkpoint's, else 0.6", max: 2, help: "randomness; 0 always takes the most likely token"},
	{name: "top-p", def: 0.0, defText: "the checkpoint's, else 0.9", min: 0.001, max: 1, help: "sample from the likeliest tokens whose probabilities add up to X"},
	{name: "top-k", def: 0, defText: "the checkpoint's, else all", max: 1 << 24, help: "sample from the N likeliest tokens"},
	{name: "min-p", def: 0.0, defText: "the checkpoint's, else 0", max: 1, help: "drop tokens less likely than X times the likeliest"},
	{name: "repeat-penalty", def: 0.0, defText: "the checkpoint's, else 1", min: 0.01, max: 10, help: "divides the score of tokens that occurred lately"},
	{name: "seed", def: 0, defText: "a new one each time", max: math.MaxInt64, help: "the same seed gives the same answer"},
	{name: "stop", def: []string(nil), help: "end the answer before this text; may be repeated"},
	{name: "raw", def: false, help: "send the prompt as it is, without the chat template"},
	{name: "no-history", env: "AQUIFER_NO_HISTORY", def: false, help: "do not keep the lines of a chat for the next ones"},
	{name: "no-wordwrap", def: false, help: "break lines at the edge of the terminal, not between words"},
	{name: "stats", def: false, help: "print token counts and speeds to stderr after an answer"},

	// Serving.
	{name: "addr", env: "AQUIFER_HOST", def: "127.0.0.1:8750", help: "address of the server, or unix:PATH for a socket; one that others can reach needs a key"},
	{name: "key", env: "AQUIFER_API_KEY", def: "", help: "API key of the server; the variable keeps it out of the process list"},
	{name: "tls-cert", def: "", help: "certificate with its chain, a PEM file; the server speaks HTTPS then, and reads it again when it changes"},
	{name: "tls-key", def: "", help: "private key of that certificate, a PEM file"},
	{name: "host", def: []string(nil), help: "name that clients may use for this machine besides localhost and its addresses; may be repeated"},
	{name: "origin", def: []string(nil), help: "origin of a web page that may use the server, as in https://chat.example.com; may be repeated"},
	{name: "parallel", def: 8, min: 1, max: 256, help: "answers that are generated at the same time"},
	{name: "queue", def: 512, min: 1, max: 4096, help: "requests that may wait; more are refused with 429"},
	{name: "queue-timeout", def: time.Minute, help: "how long a request may wait for its turn, or for a model whose load makes no progress"},
	{name: "key-answers", def: 0, defText: "no limit", max: 4096, help: "answers that one API key may have running or waiting, each of n choices counted; more are refused with 429"},
	{name: "keep-alive", def: 5 * time.Minute, help: "how long a model stays loaded that nobody uses, unless a request says; 0 unloads it at once, less than 0 keeps it"},
	{name: "max-models", def: 3, min: 1, max: 256, help: "models from the store that are loaded at the same time, if memory allows"},
	{name: "prefix-cache", env: "AQUIFER_PREFIX_CACHE", def: "", defText: "none", help: "folder in which prompts that were run outlive the program, so that they need not be run again; whoever can read its files can read the prompts"},
	{name: "prefix-cache-size", env: "AQUIFER_PREFIX_CACHE_SIZE", def: "4GB", help: "what all files there take at most, as in 500MB or 8GiB; the oldest are removed"},
	{name: "unknown-fields", def: "refuse", oneOf: []string{"refuse", "ignore"}, help: "what to do with a request that has a field which does not exist"},

	// Models from the hub, and the store.
	{name: "endpoint", env: "HF_ENDPOINT", def: "https://huggingface.co", help: "the hub, or a mirror of it"},
	{name: "yes", short: "y", def: false, help: "pull a model that is not in the store without asking"},
	{name: "connections", def: 8, min: 1, max: 64, help: "files, or parts of a large one, that are fetched at the same time"},
	{name: "bandwidth", def: 0.0, defText: "no limit", max: 1e6, help: "MB a second that a download takes at most"},
	{name: "remote", def: false, help: "list the published models instead, and which of them fit into this machine's memory"},
	{name: "repair", def: false, help: "remove damaged files, so that the next pull fetches them again"},
	{name: "dry-run", def: false, help: "say what would be removed and remove nothing"},

	// The other commands.
	{name: "json", def: false, help: "print JSON"},
	{name: "verbose", short: "v", def: false, help: "print more"},
	{name: "embedding", def: "f16", oneOf: []string{"f16", "q8_0"}, help: "type of the embedding and the head in the file: f16 keeps them, q8_0 halves them"},
	{name: "force", def: false, help: "replace what has the name already"},
	{name: "n-prompt", short: "p", def: []int{512}, max: 1 << 20, help: "tokens of the prefill test; 0 leaves it out"},
	{name: "n-gen", short: "n", def: []int{128}, max: 1 << 20, help: "tokens of the decode test; 0 leaves it out"},
	{name: "repetitions", short: "r", def: 5, min: 1, max: 1000, help: "measurements of each test"},
	{name: "no-warmup", def: false, help: "do not run each test once before it counts"},
	{name: "n-depth", short: "d", def: []int{0}, max: 1 << 20, help: "tokens that the context holds before a test"},
	{name: "synthetic", def: "", help: "SHAPE:SCHEME instead of a model: a published shape with random weights, made on the spot"},
	{name: "kernels", def: false, help: "measure single products on cold weights instead of a model"},
	{name: "shapes", def: "4096x4096", help: "ROWSxCOLS of the matrices of --kernels, separated by commas"},
	{
		name: "encodings", def: "2x8g8,1x16g8,1x8g8,4x8g8,8x8g32,1x16g16,1x15g8,2x16g8,f16,q8_0",
		help: "their encodings, separated by commas: KxBgG, f32, f16, bf16, q8_0",
	},
	{name: "batch", short: "b", def: []int{1, 4, 8, 64, 512}, min: 1, max: 1 << 14, help: "their rows of input: tokens of a step"},
	{name: "plan-only", def: false, help: "say what memory the model takes and end; exit 1 if there is less"},
	{name: "output", short: "o", def: "md", oneOf: []string{"md", "json", "jsonl", "csv"}, help: "format of the result"},
	{name: "file", short: "f", def: "", help: "UTF-8 text to measure with; - is stdin"},
	{name: "window", def: 512, min: 4, max: 1 << 20, help: "tokens of a window; the second half of each counts"},
	{name: "windows", def: 0, defText: "all of the text", max: 1 << 30, help: "measure the first N windows only"},
	{name: "step", def: 0, defText: "256", max: 1 << 20, help: "tokens that are run at once: 1 measures the kernels that write answers, many those that read prompts"},
	{name: "bos", def: "auto", oneOf: []string{"auto", "yes", "no"}, help: "put BOS in the place of each window's first token; auto does what the tokenizer does"},
	{name: "no-special", def: false, help: "add no tokens of the model's own, such as BOS"},
	{name: "jsonl", def: false, help: "one JSON value a line on stdin, one a line on stdout"},
	{name: "decode", def: false, help: "from ids to text"},
	{name: "tokens", def: "", help: "token ids, separated by commas"},
}

// variable is an environment variable without a flag, which other programs of the hub know as well.
type variable struct{ name, help string }

var variables = []variable{
	{"HF_HOME", "folder of the hub's files: the store is in hub, the token in token, aliases are in aquifer; ~/.cache/huggingface"},
	{"HF_HUB_CACHE", "folder of the store itself, if it is another one"},
	{"HF_TOKEN", "token for models that want one; it goes to the hub only"},
	{"HF_TOKEN_PATH", "file with that token, if it is another one"},
	{"XDG_DATA_HOME", "folder that takes the place of ~/.local/share: what chats keep is in aquifer there"},
	{"XDG_CACHE_HOME", "folder that takes the place of ~/.cache"},
}

// environment returns the value of one of the variables, or of a flag's; asking for another one is a programming error
// and panics.
func environment(name string) string {
	if !slices.ContainsFunc(variables, func(v variable) bool { return v.name == name }) &&
		!slices.ContainsFunc(knobs, func(k knob) bool { return k.env == name }) {
		panic("no environment variable " + name + " in the table")
	}
	return os.Getenv(name)
}

// Groups of flags that several commands share.
var (
	hubKnobs    = []string{"endpoint", "connections", "bandwidth"}
	modelKnobs  = []string{"model"}
	prefixKnobs = []string{"prefix-cache", "prefix-cache-size"}
	deviceKnobs = []string{"backend", "level", "threads", "precision", "head", "kv", "context"}
	askKnobs    = []string{
		"system", "max-tokens", "temperature", "top-p", "top-k", "min-p", "repeat-penalty", "seed", "stop", "raw", "stats",
	}
)

func findKnob(name string) knob {
	i := slices.IndexFunc(knobs, func(k knob) bool { return k.name == name })
	return knobs[i]
}

// usage is the help text of the flag: meaning, choices or range, default and environment variable. pflag itself adds
// defaults that are not zero values.
func (k knob) usage() string {
	var b strings.Builder
	b.WriteString(k.help)
	if r := k.rangeText(); r != "" && k.max <= maxShown {
		fmt.Fprintf(&b, "; %s", r)
	}
	if k.defText != "" {
		fmt.Fprintf(&b, " (default: %s)", k.defText)
	}
	if k.env != "" {
		fmt.Fprintf(&b, " [$%s]", k.env)
	}
	return b.String()
}

// maxShown is the highest bound that --help mentions: those above only keep absurd numbers out.
const maxShown = 1024

func (k knob) rangeText() string {
	switch {
	case len(k.oneOf) > 0:
		return strings.Join(k.oneOf, ", ")
	case k.min == 0 && k.max == 0:
		return ""
	case k.max == math.MaxInt64:
		return fmt.Sprintf("from %s", number(k.min))
	}
	return fmt.Sprintf("%s to %s", number(k.min), number(k.max))
}

func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// addTo gives the named command the flag.
func (k knob) addTo(set *pflag.FlagSet, command string) {
	if d, ok := k.def.(int); ok && k.listIn == command {
		k.def = []int{d}
	}
	switch d := k.def.(type) {
	case string:
		set.StringP(k.name, k.short, d, k.usage())
	case int:
		set.IntP(k.name, k.short, d, k.usage())
	case float64:
		set.Float64P(k.name, k.short, d, k.usage())
	case bool:
		set.BoolP(k.name, k.short, d, k.usage())
	case time.Duration:
		set.DurationP(k.name, k.short, d, k.usage())
	case []string:
		set.StringArrayP(k.name, k.short, d, k.usage())
	case []int:
		set.VarP(&intList{values: d}, k.name, k.short, k.usage())
	}
}

// addKnobs gives a command the named flags, in this order.
func addKnobs(cmd *cobra.Command, groups ...[]string) {
	set := cmd.Flags()
	set.SortFlags = false
	for _, name := range slices.Concat(groups...) {
		findKnob(name).addTo(set, cmd.Name())
	}
}

// settings are a command's flags after readKnobs. Asking for a flag that the command does not have is a programming
// error and panics.
type settings struct {
	set  *pflag.FlagSet
	pick map[string]int // of flags that take several numbers: the one at work
}

// readKnobs takes flags that were not given from the environment and checks every value against the table.
func readKnobs(set *pflag.FlagSet) (settings, error) {
	for _, k := range knobs {
		f := set.Lookup(k.name)
		if f == nil {
			continue
		}
		source := "--" + k.name
		if value, ok := os.LookupEnv(k.env); k.env != "" && ok && !f.Changed {
			source = "$" + k.env
			if err := set.Set(k.name, value); err != nil {
				return settings{}, usageErrorf("%s: %w", source, err)
			}
		}
		if err := k.check(f.Value.String()); f.Changed && err != nil {
			return settings{}, usageErrorf("%s %w", source, err)
		}
	}
	return settings{set: set}, nil
}

// check verifies a value in its printed form.
func (k knob) check(value string) error {
	if len(k.oneOf) > 0 && !slices.Contains(k.oneOf, value) {
		return fmt.Errorf("is %q, must be one of %s", value, strings.Join(k.oneOf, ", "))
	}
	if k.min == 0 && k.max == 0 {
		return nil
	}
	for number := range strings.SplitSeq(value, ",") {
		x, err := strconv.ParseFloat(number, 64)
		if err != nil || !(x >= k.min && x <= k.max) {
			return fmt.Errorf("is %s, must be %s", number, k.rangeText())
		}
	}
	return nil
}

// has reports whether the command has the flag.
func (s settings) has(name string) bool { return s.set.Lookup(name) != nil }

// given reports whether the flag or its variable was set.
func (s settings) given(name string) bool { return s.set.Changed(name) }

func (s settings) str(name string) string             { return must(s.set.GetString(name)) }
func (s settings) float(name string) float64          { return must(s.set.GetFloat64(name)) }
func (s settings) boolean(name string) bool           { return must(s.set.GetBool(name)) }
func (s settings) duration(name string) time.Duration { return must(s.set.GetDuration(name)) }
func (s settings) list(name string) []string          { return must(s.set.GetStringArray(name)) }

func (s settings) integer(name string) int {
	if n, ok := s.pick[name]; ok {
		return n
	}
	return must(s.set.GetInt(name))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
