// Package catalogue knows the published AQLM checkpoints by short names. It is one table and the ways to look a name up
// in it; it imports nothing of ours and asks no network.
package catalogue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Model is a published checkpoint.
type Model struct {
	Name    string  // FAMILY:SIZE, with what tells it from its siblings behind it, as in llama3.1:8b-1x16g8
	Repo    string  // ORG/NAME on the hub
	Arch    string  // as in config.json
	Shape   string  // as models/synthetic names it
	Scheme  string  // as in 2x8g8
	Bits    float64 // a weight of the compressed matrices, codebooks included
	Size    int64   // bytes of its files
	Memory  int64   // bytes that it takes with a context of 2048 tokens
	License string  // the identifier that the hub has
	Chat    bool    // made for conversations
	Tuned   bool    // repaired with PV-Tuning after it was compressed
}

type row struct {
	name, repo, arch, shape, scheme string
	bits                            float64
	sizeMB, memoryMB                int64
	license                         string
	flags                           int
}

const (
	chat = 1 << iota
	tuned
)

func (r row) model() Model {
	return Model{
		r.name, r.repo, r.arch, r.shape, r.scheme, r.bits, r.sizeMB * 1e6, r.memoryMB * 1e6, r.license, r.flags&chat != 0, r.flags&tuned != 0,
	}
}

// Family is the part of the name before the colon.
func (m Model) Family() string {
	family, _, _ := strings.Cut(m.Name, ":")
	return family
}

// All returns the whole catalogue.
func All() []Model {
	all := make([]Model, len(models))
	for i, r := range models {
		all[i] = r.model()
	}
	return all
}

// ByRepo returns the model of a repository.
func ByRepo(repo string) (Model, bool) {
	for _, m := range All() {
		if strings.EqualFold(m.Repo, repo) {
			return m, true
		}
	}
	return Model{}, false
}

// AmbiguousError says that a name stands for several models.
type AmbiguousError struct {
	Name    string
	Options []string
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%s is %s; name one of them", e.Name, alternatives(e.Options, "and"))
}

// Find looks a name up. A family stands for its model if all of it is of one size. ok is false if the name is in no way
// one of the catalogue's.
func Find(name string) (m Model, ok bool, err error) {
	name = strings.ToLower(name)
	var sizes []string
	for _, m := range All() {
		if m.Name == name {
			return m, true, nil
		}
		if m.Family() != name {
			continue
		}
		// The first of each size is the one to take.
		if size := m.size(); !slices.Contains(sizes, size) {
			sizes = append(sizes, size)
		}
	}
	switch len(sizes) {
	case 0:
		return m, false, nil
	case 1:
		return Find(sizes[0])
	}
	return m, true, &AmbiguousError{name, sizes}
}

// size is the name without what tells the model from its siblings.
func (m Model) size() string {
	name, _, _ := strings.Cut(m.Name, "-base")
	if i := strings.LastIndex(name, ":"); i >= 0 {
		size, _, _ := strings.Cut(name[i:], "-")
		name = name[:i] + size
	}
	return name
}

// Near returns the names among those given, and of the catalogue, that somebody may have meant; the likeliest first, three
// at most.
func Near(name string, others ...string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	plain := simple(name)
	if plain == "" {
		return nil
	}
	add := func(known string) {
		d := distance(plain, simple(known))
		if d > max(1, len(plain)/4) && !(len(plain) >= 4 && strings.HasPrefix(simple(known), plain)) {
			return
		}
		near = append(near, candidate{known, d})
	}
	for _, known := range others {
		add(known)
	}
	for _, m := range All() {
		add(m.Name)
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, c := range near {
		if !slices.Contains(names, c.name) && len(names) < 3 {
			names = append(names, c.name)
		}
	}
	return names
}

// simple drops what people spell differently.
func simple(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-:._/ ", r) {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// distance is how many letters must be added, removed or replaced to make one text of another.
func distance(a, b string) int {
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		diagonal := last[0]
		last[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = last[j+1]
			last[j+1] = min(cost, last[j]+1, last[j+1]+1)
		}
	}
	return last[len(b)]
}

// alternatives joins names as a sentence has them.
func alternatives(names []string, word string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " " + word + " " + names[len(names)-1]
}
