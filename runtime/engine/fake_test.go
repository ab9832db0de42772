package engine

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aquifer/backends"
	"aquifer/models"
	"aquifer/runtime/plan"
	"aquifer/tokenizer"
)

// The vocabulary of the tests: ids 0..255 are the bytes, then two control tokens.
const (
	bosID  = 256
	eosID  = 257
	vocab  = 258
	script = 200 // a prompt that starts with bosID, script+i is answered with fakeBackend.scripts[i]
)

// testTokenizer decodes ids below 256 to the byte of that value.
var testTokenizer = sync.OnceValue(func() *tokenizer.Tokenizer {
	pieces := map[string]int{}
	next := rune(256)
	for b := range 256 {
		r := rune(b)
		if b <= ' ' || b >= 0x7f && b <= 0xa0 || b == 0xad { // byte-level BPE's printable stand-ins
			r = next
			next++
		}
		pieces[string(r)] = b
	}
	special := func(id int, text string) map[string]any {
		return map[string]any{
			"id": id, "content": text, "special": true, "normalized": false,
			"single_word": false, "lstrip": false, "rstrip": false,
		}
	}
	data, err := json.Marshal(map[string]any{
		"added_tokens":  []any{special(bosID, "<s>"), special(eosID, "</s>")},
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
		"decoder":       map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
		"model":         map[string]any{"type": "BPE", "vocab": pieces, "merges": []string{}},
	})
	if err != nil {
		panic(err)
	}
	t, err := tokenizer.Parse(data)
	if err != nil {
		panic(err)
	}
	return t
})

// fakeBackend is a language model without weights: the logits at a position are a function of all tokens up to it,
// which it reads back from its KV blocks, so that a wrong block or a wrong position gives other tokens.
type fakeBackend struct {
	scripts [][]byte             // answers to scripted prompts, then eosID for ever
	delay   time.Duration        // of each step
	each    time.Duration        // and of each of its tokens
	gate    chan struct{}        // if not nil, each step takes one from it
	entered chan struct{}        // if not nil, each step puts one into it
	watch   func(*backends.Step) // if not nil, is shown each step before it takes its time
	fail    func(step int) error
	perSeq  int64 // bytes of a KV block for Measure
	weights int64

	compiled atomic.Int32 // programs that are not closed
	last     atomic.Pointer[fakeProgram]
}

var _ backends.Backend = (*fakeBackend)(nil)

func (b *fakeBackend) Info() backends.Info {
	return backends.Info{Name: "fake", Device: "test", Level: "go", Threads: 1}
}
func (b *fakeBackend) Close() error { return nil }

func (b *fakeBackend) Measure(_ *plan.Plan, o backends.Options) (backends.Memory, error) {
	return backends.Memory{Weights: b.weights, KV: int64(o.KVBlocks) * b.perSeq}, nil
}

func (b *fakeBackend) Compile(p *plan.Plan, o backends.Options) (backends.Program, error) {
	b.compiled.Add(1)
	pr := &fakeProgram{b: b, plan: p, o: o, kv: make([]int32, o.KVBlocks*plan.KVBlock), loaded: map[string][]byte{}}
	for i := range pr.kv {
		pr.kv[i] = -1
	}
	b.last.Store(pr)
	return pr, nil
}

type fakeProgram struct {
	b      *fakeBackend
	plan   *plan.Plan
	o      backends.Options
	kv     []int32 // token by block and position
	logits []float32
	busy   atomic.Bool
	steps  atomic.Int32
	closed atomic.Bool
	widest atomic.Int32 // sequences of the largest step
	tokens atomic.Int32 // tokens of the largest step
	copies atomic.Int32 // of blocks

	mu     sync.Mutex
	loaded map[string][]byte
}

func (p *fakeProgram) Load(w plan.Weight, part plan.Part, first, n int, data []byte) error {
	rows, rowBytes := p.plan.Weights[w].PartBytes(part)
	if first < 0 || n < 1 || first+n > rows || int64(len(data)) != int64(n)*rowBytes {
		return fmt.Errorf("fake: rows %d+%d of %d, %d bytes", first, n, rows, len(data))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := fmt.Sprintf("%s.%s", p.plan.Weights[w].Name, part)
	if p.loaded[key] == nil {
		p.loaded[key] = make([]byte, int64(rows)*rowBytes)
	}
	copy(p.loaded[key][int64(first)*rowBytes:], data)
	if p.b.fail != nil {
		return p.b.fail(-1)
	}
	return nil
}

func (p *fakeProgram) Run(s *backends.Step) error {
	if !p.busy.CompareAndSwap(false, true) {
		panic("two goroutines run the program")
	}
	defer p.busy.Store(false)
	if p.closed.Load() {
		return errors.New("fake: closed")
	}
	step := int(p.steps.Add(1))
	if p.b.entered != nil {
		p.b.entered <- struct{}{}
	}
	if p.b.gate != nil {
		<-p.b.gate
	}
	if p.b.watch != nil {
		p.b.watch(s)
	}
	time.Sleep(p.b.delay + time.Duration(len(s.Tokens))*p.b.each)
	if p.b.fail != nil {
		if err := p.b.fail(step); err != nil {
			return err
		}
	}
	if err := s.Check(p.plan, p.o); err != nil {
		return err
	}
	p.widest.Store(max(p.widest.Load(), int32(len(s.Runs))))
	p.tokens.Store(max(p.tokens.Load(), int32(len(s.Tokens))))
	p.logits = slices.Grow(p.logits[:0], len(s.Out)*vocab)[:len(s.Out)*vocab]
	row, out := 0, 0
	for _, r := range s.Runs {
		for i := range r.N {
			pos := r.Pos + i
			p.kv[int(r.Blocks[pos/plan.KVBlock])*plan.KVBlock+pos%plan.KVBlock] = s.Tokens[row]
			if out < len(s.Out) && s.Out[out] == int32(row) {
				p.b.model(p.logits[out*vocab:(out+1)*vocab], pos+1, func(q int) int32 {
					return p.kv[int(r.Blocks[q/plan.KVBlock])*plan.KVBlock+q%plan.KVBlock]
				})
				out++
			}
			row++
		}
	}
	s.Logits = p.logits
	return nil
}

func (p *fakeProgram) CopyBlock(dst, src int) error {
	if !p.busy.CompareAndSwap(false, true) {
		panic("two goroutines use the program")
	}
	defer p.busy.Store(false)
	p.copies.Add(1)
	copy(p.kv[dst*plan.KVBlock:(dst+1)*plan.KVBlock], p.kv[src*plan.KVBlock:(src+1)*plan.KVBlock])
	if p.b.fail != nil {
		return p.b.fail(-2)
	}
	return nil
}

func (p *fakeProgram) BlockLayout() backends.BlockLayout {
	return backends.NewBlockLayout("fake/1", p.o.KV, nil, 4*plan.KVBlock)
}

func (p *fakeProgram) ReadBlock(block int, data []byte) error {
	if err := p.checkBlock(block, data); err != nil {
		return err
	}
	for i := range plan.KVBlock {
		binary.LittleEndian.PutUint32(data[4*i:], uint32(p.kv[block*plan.KVBlock+i]))
	}
	return nil
}

func (p *fakeProgram) WriteBlock(block int, data []byte) error {
	if err := p.checkBlock(block, data); err != nil {
		return err
	}
	for i := range plan.KVBlock {
		p.kv[block*plan.KVBlock+i] = int32(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return nil
}

func (p *fakeProgram) checkBlock(block int, data []byte) error {
	if p.closed.Load() {
		return errors.New("fake: closed")
	}
	return p.BlockLayout().CheckBlock(block, p.o.KVBlocks, len(data))
}

func (p *fakeProgram) Kernels() []string { return nil }

func (p *fakeProgram) Close() error {
	if p.closed.Swap(true) {
		return errors.New("fake: closed twice")
	}
	p.b.compiled.Add(-1)
	return nil
}

// model writes the logits behind the first n tokens of a history.
func (b *fakeBackend) model(logits []float32, n int, token func(int) int32) {
	h := uint64(1469598103934665603)
	for q := range n {
		h = (h ^ uint64(uint32(token(q)))) * 1099511628211
	}
	for i := range logits {
		x := (h ^ uint64(i)*0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
		logits[i] = float32(x>>40) / (1 << 24) * 4
	}
	logits[bosID], logits[eosID] = -10, -10
	if n >= 2 && token(0) == bosID && token(1) >= script && int(token(1))-script < len(b.scripts) {
		// The prompt ends at the first bosID after its start.
		start := 2
		for start < n && token(start-1) != bosID || start == 2 {
			if start++; start > n {
				break
			}
		}
		answer, next := b.scripts[token(1)-script], eosID
		if i := n - start; i >= 0 && i < len(answer) {
			next = int(answer[i])
		}
		logits[next] = 100
	}
}

// scripted returns the prompt that is answered with script i.
func scripted(i int) []int32 { return []int32{bosID, int32(script + i), bosID} }

// greedy computes an answer without the engine.
func (b *fakeBackend) greedy(prompt []int32, n int) []int32 {
	tokens := slices.Clone(prompt)
	logits := make([]float32, vocab)
	for range n {
		b.model(logits, len(tokens), func(q int) int32 { return tokens[q] })
		best := 0
		for i, l := range logits {
			if l > logits[best] {
				best = i
			}
		}
		tokens = append(tokens, int32(best))
	}
	return tokens[len(prompt):]
}

func fakeModel(context int) *models.Model {
	return &models.Model{
		Name: "fake", Arch: "fake", Scheme: "none", Context: context, Vocab: vocab,
		Plan: &plan.Plan{Name: "fake", Vocab: vocab, MaxPos: context, Logits: 0, Features: plan.None},
	}
}

// start loads an engine around the fake backend and closes it at the end of the test, when everything must be free.
func start(t testing.TB, b *fakeBackend, change func(*Config)) *Engine {
	t.Helper()
	cfg := Config{
		Model: fakeModel(2048), Tokenizer: testTokenizer(), Backend: b, Context: 256,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	e, err := load(t.Context(), cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.eos = []int32{eosID}
	t.Cleanup(func() {
		if err := e.Close(t.Context()); err != nil && e.Stats().Panics == 0 && t.Context().Err() == nil {
			t.Errorf("Close: %v", err)
		}
		if s := e.Stats(); s.Running != 0 || s.Queued != 0 || s.KVFree != s.KVBlocks {
			t.Errorf("after Close: %+v", s)
		}
		if n := b.compiled.Load(); n != 0 {
			t.Errorf("%d programs are left", n)
		}
	})
	return e
}

// read collects an answer and checks what holds for every stream.
func read(t testing.TB, s *Stream) (text string, last Delta, err error) {
	t.Helper()
	var b strings.Builder
	tokens := 0
	for {
		d, err := s.Next()
		if err != nil {
			if last.Finish != "" && err != io.EOF || last.Finish == "" && err == io.EOF {
				t.Errorf("the stream with finish %q ends with %v", last.Finish, err)
			}
			if again, err2 := s.Next(); err2 == nil || again.Text != "" {
				t.Errorf("Next behind the end: %+v, %v", again, err2)
			}
			if err == io.EOF {
				err = nil
			}
			return b.String(), last, err
		}
		if last.Finish != "" {
			t.Errorf("a Delta behind the last: %+v", d)
		}
		if !validText(d.Text) {
			t.Errorf("Delta with half a character: %q", d.Text)
		}
		if (d.Finish != "") != (d.Usage != nil) || d.Finish == "" && d.Text == "" && len(d.Logprobs) == 0 {
			t.Errorf("Delta %+v", d)
		}
		b.WriteString(d.Text)
		tokens += d.Tokens
		last = d
		if d.Usage != nil && tokens != d.Usage.Completion {
			t.Errorf("%d tokens in the deltas, usage says %d", tokens, d.Usage.Completion)
		}
	}
}

func validText(s string) bool { return strings.ToValidUTF8(s, "") == s }

// decoded is what a client sees of an answer.
func decoded(ids []int32) string { return testTokenizer().Decode(ids, true) }
