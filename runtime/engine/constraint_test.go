package engine

import (
	"encoding/json"
	"errors"
	"testing"
)

// TestConstraint: whatever the model would like to write, what it writes has the form.
func TestConstraint(t *testing.T) {
	b := &fakeBackend{}
	e := start(t, b, nil)
	schema := `{"type":"object","properties":{"name":{"type":"string","maxLength":5},"age":{"type":"integer","minimum":0,"maximum":130}},
		"required":["name","age"],"additionalProperties":false}`
	for _, tt := range []struct {
		name  string
		c     Constraint
		check func(text string) bool
	}{
		{"object", Constraint{Kind: JSONObject}, func(text string) bool {
			var v map[string]any
			return json.Unmarshal([]byte(text), &v) == nil
		}},
		{"schema", Constraint{Kind: JSONSchema, Text: schema, Compact: true}, func(text string) bool {
			var v struct {
				Name *string
				Age  *int
			}
			return json.Unmarshal([]byte(text), &v) == nil && v.Name != nil && len([]rune(*v.Name)) <= 5 && v.Age != nil && *v.Age >= 0 && *v.Age <= 130
		}},
		{"grammar", Constraint{Kind: GBNF, Text: `root ::= ("yes" | "no") "!"`}, func(text string) bool { return text == "yes!" || text == "no!" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stops := 0
			for seed := range uint64(20) {
				s, err := e.Generate(t.Context(), Request{
					Prompt: []int32{bosID, 'a'}, MaxTokens: 150, Constraint: &tt.c, N: 2, Sampling: Sampling{Temperature: 1.5, Seed: seed},
				})
				if err != nil {
					t.Fatal(err)
				}
				texts, finish := [2]string{}, [2]Finish{}
				for {
					d, err := s.Next()
					if err != nil {
						break
					}
					texts[d.Index] += d.Text
					finish[d.Index] += d.Finish
				}
				for i, text := range texts {
					if finish[i] != FinishStop && finish[i] != FinishLength {
						t.Fatalf("%q ended with %q", text, finish[i])
					}
					if finish[i] == FinishStop {
						stops++
						if !tt.check(text) {
							t.Errorf("%q does not have the form", text)
						}
					}
				}
			}
			if stops == 0 && tt.name != "object" {
				t.Error("no answer was complete")
			}
		})
	}
	waitIdle(t, e)
}

// TestConstraintRefused: what cannot be enforced is refused before anything is queued.
func TestConstraintRefused(t *testing.T) {
	e := start(t, &fakeBackend{}, nil)
	var form *ConstraintError
	r := Request{Prompt: []int32{bosID}, MaxTokens: 5, Constraint: &Constraint{Kind: JSONSchema, Text: `{"type":"array","uniqueItems":true}`}}
	if _, err := e.Generate(t.Context(), r); !errors.As(err, &form) || form.Keyword != "uniqueItems" {
		t.Errorf("uniqueItems: %v", err)
	}
	r.Constraint, r.NoEOS = &Constraint{Kind: JSONObject}, true
	var param *ParamError
	if _, err := e.Generate(t.Context(), r); !errors.As(err, &param) {
		t.Errorf("without an end: %v", err)
	}
	if got := e.Stats(); got.Running+got.Queued != 0 {
		t.Errorf("%+v", got)
	}
}
