// Package backendtest is the conformance suite of backends: every op on awkward shapes, every element type and AQLM
// scheme, steps of several sequences, broken input, against the reference backend with a stated tolerance. It imports
// backends, backends/ref and runtime/plan.
//
// To cover a new op or parameter, add a case to the file of its family (linear.go, ops.go, attention.go, experts.go): a case
// builds a plan in a lab, where Embed tables stand for activations, and lists the steps to run.
package backendtest

import (
	"fmt"
	"testing"

	"aquifer/backends"
	"aquifer/backends/ref"
)

// testCase is one check of a backend against the oracle. run returns an error instead of failing a test, so that the
// suite's own tests can show that a broken backend is caught.
type testCase struct {
	name string
	run  func(tested, oracle backends.Backend) error
}

// RunAll runs the whole suite. open is called once; RunAll closes what it returns. The backend has to implement
// backends.Tracer.
func RunAll(t *testing.T, open func(t *testing.T) backends.Backend) {
	tested, oracle := open(t), ref.New(0)
	t.Cleanup(func() {
		if err := tested.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	for _, group := range groups() {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					if err := c.run(tested, oracle); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

type group struct {
	name  string
	cases []testCase
}

func groups() []group {
	return []group{
		{"linear", linearCases()},
		{"aqlm", aqlmCases()},
		{"ops", opCases()},
		{"attention", attentionCases()},
		{"blocks", blockCases()},
		{"experts", expertCases()},
		{"nonfinite", nonFiniteCases()},
		{"program", programCases()},
		{"models", modelCases()},
	}
}

// Identical runs one set of plans on several backends and requires equal bits: the same backend opened with other
// numbers of threads.
func Identical(t *testing.T, opens ...func(t *testing.T) backends.Backend) {
	var opened []backends.Backend
	for _, open := range opens {
		b := open(t)
		opened = append(opened, b)
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error("close:", err)
			}
		})
	}
	for _, precision := range []backends.Precision{backends.Exact, backends.Fast, backends.Auto} {
		for _, seed := range []uint64{1, 2, 3, 4, 5, 6} {
			t.Run(fmt.Sprintf("%s/%d", precision, seed), func(t *testing.T) {
				if err := identical(seed, precision, opened); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
