package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"aquifer/backends"
	"aquifer/backends/cpu"
	"aquifer/backends/ref"
	"aquifer/models"
	"aquifer/models/checkpoint"
	"aquifer/runtime/chat"
	"aquifer/runtime/engine"
	"aquifer/runtime/kv/prefixfile"
	"aquifer/runtime/plan"
	"aquifer/tokenizer"
)

// session is a loaded model.
type session struct {
	ck      *checkpoint.Checkpoint
	model   *models.Model
	tok     *tokenizer.Tokenizer
	backend backends.Backend
	shared  bool // the backend is of others too, who close it
	engine  *engine.Engine
}

// loadOptions are the parts of an engine's configuration that flags of single commands set.
type loadOptions struct {
	context      int // least number of positions; 0 for what the flag or the model says
	maxSeqs      int
	stepTokens   int  // of a step, see engine.Config
	fixedSteps   bool // see engine.Config
	outputs      int  // rows of logits of a step, see engine.Config
	maxQueue     int
	queueTimeout time.Duration
	tokensOnly   bool               // text is not needed: the checkpoint may lack a tokenizer
	prefixes     *prefixfile.Folder // see engine.Config.Prefixes

	backend  backends.Backend // to be shared with others; nil opens one
	whole    bool             // see engine.Config.WholeContext
	others   int64            // see engine.Config.Others
	progress func(done, total int64)
}

// load opens a model and makes it ready to run. The caller closes the session.
func (a *app) load(ctx context.Context, s settings, path string, o loadOptions) (*session, error) {
	ck, err := a.openCheckpoint(path)
	if err != nil {
		return nil, err
	}
	model, err := s.buildModel(ck)
	if err != nil {
		return nil, errors.Join(err, ck.Close())
	}
	return a.loadModel(ctx, s, ck, model, path == "", o)
}

// loadModel makes an opened and planned model ready to run. The checkpoint is the session's from then on, and closed
// if there is an error. demo says that it is the embedded one, chosen because none was named.
func (a *app) loadModel(ctx context.Context, s settings, ck *checkpoint.Checkpoint, m *models.Model, demo bool, o loadOptions) (*session, error) {
	sess := &session{ck: ck, model: m}
	if err := a.prepare(ctx, sess, s, o); err != nil {
		sess.close()
		if ctx.Err() != nil {
			return nil, errInterrupted
		}
		return nil, err
	}
	a.announce(sess, demo)
	return sess, nil
}

func (a *app) prepare(ctx context.Context, sess *session, s settings, o loadOptions) error {
	cfg, fallback, err := a.configure(sess, s, o)
	if err != nil {
		return err
	}
	bar := newProgress(a.err, "loading", false)
	defer bar.end()
	cfg.Progress = func(done, total int64) {
		bar.set(done, total)
		if o.progress != nil {
			o.progress(done, total)
		}
	}
	err = a.orRef(sess, s, &cfg, fallback, func() error {
		sess.engine, err = engine.Load(ctx, cfg)
		return err
	})
	if err == nil {
		limitHeap(cfg.Others + sess.engine.Info().Memory.Total())
	}
	return adviseLoad(err)
}

// configure opens the backend and says how the engine is to run the model. fallback reports that ref may take the
// backend's place.
func (a *app) configure(sess *session, s settings, o loadOptions) (cfg engine.Config, fallback bool, err error) {
	cfg = engine.Config{
		Model: sess.model, Checkpoint: sess.ck,
		KV: kvTypes[s.str("kv")], Context: max(s.integer("context"), o.context),
		MaxSeqs: o.maxSeqs, StepTokens: o.stepTokens, FixedSteps: o.fixedSteps, Outputs: o.outputs, MaxQueue: o.maxQueue, QueueTimeout: o.queueTimeout,
		WholeContext: o.whole, Others: o.others, Prefixes: o.prefixes,
	}
	if !o.tokensOnly {
		if sess.tok, cfg.Chat, err = textParts(sess.ck); err != nil {
			return cfg, false, err
		}
		cfg.Tokenizer = sess.tok
	}
	if o.backend != nil {
		sess.backend, sess.shared, fallback = o.backend, true, s.str("backend") == "auto"
	} else {
		sess.backend, fallback, err = a.openBackend(s)
	}
	if err == nil {
		err = s.runOn(&cfg, sess.backend)
	}
	return cfg, fallback, err
}

// runOn says what runs the model, and what depends on that.
func (s settings) runOn(cfg *engine.Config, b backends.Backend) error {
	cfg.Backend, cfg.Precision = b, s.precision(b)
	if s.has("speculate") {
		return speculation(cfg, s.str("speculate"))
	}
	return nil
}

// orRef calls f, and once more with the reference backend if the one in cfg lacks what the model needs and fallback
// allows it.
func (a *app) orRef(sess *session, s settings, cfg *engine.Config, fallback bool, f func() error) error {
	err := f()
	var unsupported *backends.UnsupportedError
	if !errors.As(err, &unsupported) || !fallback {
		return err
	}
	a.tell("%v; using backend ref, which is slow", err)
	if !sess.shared {
		sess.backend.Close()
	}
	sess.backend, sess.shared = ref.New(threads(s)), false
	if err := s.runOn(cfg, sess.backend); err != nil {
		return err
	}
	return f()
}

// measureExactly makes what a command measures the model's and not the arithmetic's, unless flags say otherwise.
func (s settings) measureExactly() {
	for name, value := range map[string]string{"kv": "f32", "precision": "exact"} {
		if !s.given(name) {
			must(0, s.set.Set(name, value))
		}
	}
}

// precision is what the flag says, and exact where auto changes nothing, so that what is reported is what is computed.
func (s settings) precision(b backends.Backend) backends.Precision {
	p := precisions[s.str("precision")]
	if info := b.Info(); p == backends.Auto && (info.Name == "ref" || cpu.AutoIsExact(info.Level)) {
		return backends.Exact
	}
	return p
}

var (
	precisions = map[string]backends.Precision{"exact": backends.Exact, "fast": backends.Fast, "auto": backends.Auto}
	kvTypes    = map[string]plan.DType{"f32": plan.F32, "f16": plan.F16, "q8_0": plan.Q8_0}
)

// buildModel plans a model that is to run: with the form of its head that the flags ask for.
func (s settings) buildModel(ck *checkpoint.Checkpoint) (*models.Model, error) {
	m, err := buildModel(ck)
	if err == nil && (s.str("head") == "q8_0" || s.str("head") == "auto" && s.str("precision") != "exact") {
		m.CompactHead()
	}
	return m, err
}

func buildModel(ck *checkpoint.Checkpoint) (*models.Model, error) {
	m, err := models.Build(ck)
	return m, advise(err, "README.md lists what runs today")
}

// textParts returns what turns text into tokens and messages into text.
func textParts(ck *checkpoint.Checkpoint) (*tokenizer.Tokenizer, *chat.Format, error) {
	tok, err := ck.Tokenizer()
	if err != nil {
		return nil, nil, advise(err, "a checkpoint needs its tokenizer.json: download it again")
	}
	src := chat.Source{Token: func(text string) (known, control bool) {
		id, known := tok.ID(text)
		return known, known && tok.IsSpecial(id)
	}}
	_, src.Template, _ = ck.Template()
	src.ToolTemplate, _ = ck.ToolTemplate()
	sp := ck.Special()
	src.Special = chat.Special{BOS: sp.BOS, EOS: sp.EOS, UNK: sp.UNK, PAD: sp.PAD}
	format, err := chat.New(src)
	return tok, format, advise(err, "the checkpoint's chat template cannot be used: please report it")
}

func adviseLoad(err error) error {
	var memory *backends.MemoryError
	if errors.As(err, &memory) {
		return advise(err, "lower --context, use --kv q8_0, or free some memory")
	}
	return advise(err, "aquifer doctor tells what this machine can run")
}

func threads(s settings) int {
	if n := s.integer("threads"); n > 0 {
		return n
	}
	return cpu.DefaultThreads()
}

// openBackend opens the backend that was asked for. fallback reports that ref may take its place.
func (a *app) openBackend(s settings) (b backends.Backend, fallback bool, err error) {
	return a.openLevel(s, s.str("level"))
}

// openLevel is openBackend with a level of the caller's choice.
func (a *app) openLevel(s settings, level string) (b backends.Backend, fallback bool, err error) {
	name := s.str("backend")
	if name == "ref" {
		return ref.New(threads(s)), false, nil
	}
	b, err = cpu.Open(cpu.Config{Threads: s.integer("threads"), Level: level})
	switch {
	case err == nil:
		return b, name == "auto", nil
	case name == "auto" && !s.given("level"):
		a.tell("%v; using backend ref, which is slow", err)
		return ref.New(threads(s)), false, nil
	}
	return nil, false, advise(err, "aquifer doctor tells what this machine has; --backend ref runs everywhere")
}

func (s *session) close() error {
	var errs []error
	if s.engine != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		errs = append(errs, s.engine.Close(ctx))
	}
	if s.backend != nil && !s.shared {
		errs = append(errs, s.backend.Close())
	}
	return errors.Join(append(errs, s.ck.Close())...)
}

// closeTimeout is how long running answers may take when a command ends; none should be running then.
const closeTimeout = 5 * time.Second

// tell prints a line of news to stderr.
func (a *app) tell(format string, args ...any) {
	fmt.Fprintf(a.err, "aquifer: %s\n", oneLine(fmt.Sprintf(format, args...)))
}

// announce prints the one line that says what is about to answer.
func (a *app) announce(s *session, demo bool) {
	info := s.engine.Info()
	parts := []string{
		info.Name, info.Scheme,
		strings.TrimSpace(info.Backend.Name + " " + info.Backend.Level), fmt.Sprint(info.Precision),
		plural(info.Backend.Threads, "thread"),
		fmt.Sprintf("context %d", info.Context),
		fmt.Sprintf("%s (weights %s, KV %s)", size(info.Memory.Total()), size(info.Memory.Weights), size(info.Memory.KV)),
	}
	if demo {
		parts = append(parts, "a small model to try things with: often wrong")
	}
	a.tell("%s", strings.Join(parts, ", "))
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// size prints bytes for people.
func size(n int64) string {
	switch {
	case n >= 10e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f kB", float64(n)/1e3)
}
