package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"aquifer/runtime/chat"
	"aquifer/runtime/grammar"
	"aquifer/runtime/sample"
)

// A Constraint is a form that an answer has to have. It ends where the form is complete, and an answer that MaxTokens
// cuts has FinishLength; a stop string ends it wherever it comes.
type Constraint = grammar.Source

// Kinds of Constraint.
const (
	JSONObject = grammar.JSONObject // any JSON object
	JSONSchema = grammar.JSONSchema // JSON that the schema in Text accepts
	GBNF       = grammar.GBNF       // what the grammar in Text generates, in llama.cpp's language
)

// ConstraintError says what of a constraint is wrong or cannot be enforced, and where.
type ConstraintError = grammar.Error

// constraints compiles for the engine's vocabulary, which is prepared when the first constraint comes.
type constraints struct {
	once     sync.Once
	compiler *grammar.Compiler
	err      error
}

// compile makes the grammar of a constraint. It takes time: it must not run in the loop.
func (e *Engine) compile(ctx context.Context, c *Constraint) (*grammar.Grammar, error) {
	tok := e.cfg.Tokenizer
	if tok == nil {
		return nil, &ParamError{Param: "constraint", Msg: "cannot be kept: the model was loaded without a tokenizer"}
	}
	e.constraints.once.Do(func() {
		v := grammar.Vocabulary{Tokens: make([][]byte, e.info.Vocab), Ends: e.eos}
		for id := range v.Tokens {
			switch b, control := e.controls[int32(id)]; {
			case control:
				v.Tokens[id] = []byte{b}
			case !tok.IsSpecial(int32(id)):
				if v.Tokens[id] = tok.Bytes(int32(id)); slices.ContainsFunc(v.Tokens[id], func(b byte) bool { return b >= chat.FirstControl }) {
					v.Tokens[id] = nil // in no text, and those bytes stand for control tokens
				}
			}
		}
		e.constraints.compiler, e.constraints.err = grammar.NewCompiler(v, grammar.Options{})
	})
	if e.constraints.err != nil {
		return nil, fmt.Errorf("engine: this model cannot be held to a form: %w", e.constraints.err)
	}
	return e.constraints.compiler.Compile(ctx, *c)
}

// form follows one answer through its grammar; nil allows everything.
type form struct {
	matcher *grammar.Matcher
	words   []uint32
	mask    sample.Mask
}

func newForm(g *grammar.Grammar, words, vocab int) *form {
	return &form{matcher: g.NewMatcher(), words: make([]uint32, words), mask: sample.NewMask(vocab)}
}

// allowed returns the tokens that can follow, nil for all.
func (f *form) allowed() (sample.Mask, error) {
	if f == nil {
		return nil, nil
	}
	if err := f.matcher.Mask(f.words); err != nil {
		return nil, err
	}
	clear(f.mask)
	for i, w := range f.words {
		f.mask[i/2] |= uint64(w) << (i % 2 * 32)
	}
	return f.mask, nil
}

// accept goes on by one token and reports whether the text is complete, so that nothing can follow it.
func (f *form) accept(id int32) (complete bool, err error) {
	if f == nil {
		return false, nil
	}
	if err := f.matcher.Accept(id); err != nil {
		return false, err
	}
	return f.matcher.Done(), nil
}
