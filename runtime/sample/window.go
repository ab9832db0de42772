package sample

// window counts the last tokens of a sequence. Memory: the tally for the vocabulary, from the first push on, plus the
// tokens in the window.
type window struct {
	vocab int
	size  int
	ring  []entry // in order of arrival while growing, then the oldest is at next
	next  int
	tally []tally // (vocab)
	round uint32  // of each
}

type entry struct {
	id        int32
	generated bool
}

type tally struct {
	generated int32
	seen      uint32 // the round that last visited the token
}

func (w *window) reset(size int) {
	for _, e := range w.ring {
		w.tally[e.id].generated = 0
	}
	// round goes on: tokens that left the window keep the number of an old one.
	w.ring, w.next, w.size = w.ring[:0], 0, size
}

// push adds a token and drops the oldest one if the window is full. Ids outside the vocabulary are ignored.
func (w *window) push(id int32, generated bool) {
	if id < 0 || int(id) >= w.vocab {
		return
	}
	if w.tally == nil {
		w.tally = make([]tally, w.vocab)
	}
	if len(w.ring) < w.size {
		w.ring = append(w.ring, entry{id, generated})
	} else {
		if old := w.ring[w.next]; old.generated {
			w.tally[old.id].generated--
		}
		w.ring[w.next] = entry{id, generated}
		w.next = (w.next + 1) % w.size
	}
	if generated {
		w.tally[id].generated++
	}
}

// each calls f once for each different token in the window with the times it was generated.
func (w *window) each(f func(id, generated int32)) {
	w.round++
	for _, e := range w.ring {
		if t := &w.tally[e.id]; t.seen != w.round {
			t.seen = w.round
			f(e.id, t.generated)
		}
	}
}
