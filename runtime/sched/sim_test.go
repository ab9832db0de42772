package sched

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"aquifer/runtime/kv"
	"aquifer/runtime/plan"
)

// client is a sequence as the simulated engine sees it.
type client struct {
	Seq
	prompt, stop int // tokens of the prompt; length at which it ends
	number       int // order of arrival
	added        time.Time
	admitted     int // round of admission, -1 before
	ran          int // tokens run, counted here
	scored       int // rows of its prompt, likewise
	base         int // the first token that needs logits
	text         []int32
	child        bool
	long         bool // what it caches is of the other kind
}

// cell is what the simulated device holds for a position.
type cell struct {
	key   string
	long  bool
	token int32
}

// sim plays engine and clients and checks every round against the rules in the package comment.
type sim struct {
	t        *testing.T
	cfg      Config
	s        *Scheduler
	pool     *kv.Pool
	now      time.Time
	live     map[*Seq]*client
	rows     func(prompt int) int // Seq.Rows of the next client; nil means 0
	number   int
	token    int
	rounds   int
	ended    int
	expired  int
	canceled int
	refused  int
	forks    int // children that started behind their parent's prompt
	copies   int
	memory   map[int32]*[plan.KVBlock]cell // what the "device" holds, by block
	longFrom int                           // length beyond which sequences are long; 0 means never
	trunks   int                           // texts that prompts begin with; 0 means that all differ
	hits     int                           // tokens found in the cache
	turned   int
	draft    func() int // Seq.Draft of running clients; nil means 0
	limits   [2]int     // of Limit
	limit    func() int // draws them anew for a round; nil leaves them
	again    int        // tokens that were run once more
	resumed  int        // sequences that started again
	drafted  int        // proposed tokens that were run
	accepted int
}

func newSim(t *testing.T, cfg Config, blocks int) *sim {
	t.Helper()
	pool := kv.NewPool(blocks)
	return &sim{
		t: t, cfg: cfg, s: New(cfg, pool), pool: pool, now: time.Unix(1e9, 0), live: map[*Seq]*client{},
		memory: map[int32]*[plan.KVBlock]cell{}, limits: [2]int{cfg.StepTokens, cfg.MixTokens},
	}
}

// add brings a client whose answer has extra tokens and ends after stop of them; nil if it was refused.
func (m *sim) add(key string, prompt, extra, stop int, deadline time.Duration) *client {
	if all := m.addFamily(key, prompt, extra, stop, deadline, 0, false); all != nil {
		return all[0]
	}
	return nil
}

// addFamily brings a client with children.
func (m *sim) addFamily(key string, prompt, extra, stop int, deadline time.Duration, children int, apart bool) []*client {
	var all []*client
	var seqs []*Seq
	text := m.prompt(prompt)
	for i := range children + 1 {
		c := &client{prompt: prompt, stop: prompt + min(stop*(i+1), extra), added: m.now, admitted: -1, child: i > 0}
		c.Key, c.Len, c.Max, c.Owner, c.Apart, c.text = key, prompt, prompt+extra, c, apart && i > 0, slices.Clone(text)
		c.Turns = m.longFrom > 0 && prompt <= m.longFrom && c.Max > m.longFrom
		c.Apart = c.Apart || i > 0 && c.Turns
		c.long = m.longFrom > 0 && prompt > m.longFrom
		if m.trunks > 0 {
			c.Chain = c.chain(nil)
		}
		if m.rows != nil && i == 0 && children == 0 {
			c.Rows = m.rows(prompt)
		}
		c.base = prompt - max(c.Rows, 1)
		if deadline > 0 {
			c.Deadline = m.now.Add(deadline)
		}
		all, seqs = append(all, c), append(seqs, &c.Seq)
	}
	waiting, paused := 0, 0
	for _, c := range m.live {
		switch {
		case c.state == 3:
			paused++
		case !c.Running() && !c.child:
			waiting++
		}
	}
	full := waiting-max(m.cfg.Seqs-m.s.Running()-paused, 0) >= m.cfg.Queue
	switch err := m.s.Add(seqs[0], m.now, seqs[1:]...); {
	case full && err == ErrFull:
		m.refused++
		return nil
	case full || err != nil:
		m.t.Fatalf("Add with %d waiting, %d running: %v", waiting, m.s.Running(), err)
	}
	for _, c := range all {
		c.number = m.number
		m.number++
		m.live[&c.Seq] = c
	}
	return all
}

// chain extends the hashes of a client's text.
func (c *client) chain(from []kv.Hash) []kv.Hash {
	return kv.Chain(from, kv.Root(fmt.Sprint(c.Key, c.long)), c.text)
}

// prompt makes up a text that may begin as others do.
func (m *sim) prompt(n int) []int32 {
	text := make([]int32, n)
	same := 0
	if m.trunks > 0 {
		same = n - m.token%(n+1)*(m.number%3)/2
	}
	for i := range text {
		if i < same {
			text[i] = -int32(i*m.trunks+m.number*7%m.trunks) - 1
		} else {
			text[i] = m.fresh()
		}
	}
	return text
}

// fresh returns a token that was never there before.
func (m *sim) fresh() int32 {
	m.token++
	return int32(m.token)
}

func (m *sim) cancel(c *client) {
	if m.live[&c.Seq] == nil {
		return
	}
	m.s.End(&c.Seq)
	m.s.End(&c.Seq) // a second time does nothing
	delete(m.live, &c.Seq)
	m.canceled++
}

// round runs one round; between, if not nil, is called while the step "runs".
func (m *sim) round(between func()) {
	t := m.t
	t.Helper()
	m.rounds++
	if m.draft != nil {
		m.s.Singles(func(q *Seq) {
			if q.Draft = m.draft(); q.Turns {
				q.Draft = min(q.Draft, m.longFrom-q.Len)
			}
		})
	}
	if m.limit != nil {
		m.limits = [2]int{m.limit(), m.limit()}
		m.s.Limit(m.limits[0], m.limits[1])
	}
	expired := m.s.Expire(m.now)
	r := m.s.Round()
	for _, e := range expired {
		c := m.live[e.Seq]
		late := !e.Seq.Deadline.IsZero() && !m.now.Before(e.Seq.Deadline)
		waited := c.admitted < 0 && !c.child && m.cfg.QueueTimeout > 0 && m.now.Sub(c.added) >= m.cfg.QueueTimeout
		if e.Err == ErrDeadline && !late || e.Err == ErrQueueTimeout && !waited || e.Err == nil {
			t.Fatalf("sequence %d expired with %v", c.number, e.Err)
		}
		delete(m.live, e.Seq)
		m.expired++
	}
	m.checkAccount()
	m.checkPaused()
	for q, c := range m.live {
		if !q.Deadline.IsZero() && !m.now.Before(q.Deadline) {
			t.Fatalf("sequence %d is past its deadline", c.number)
		}
		if q.Running() && c.admitted < 0 {
			c.admitted = m.rounds
		}
	}
	// First come, first served within a key.
	var fresh []*client
	for _, c := range m.live {
		if c.admitted == m.rounds {
			fresh = append(fresh, c)
		}
	}
	slices.SortFunc(fresh, func(a, b *client) int { return a.number - b.number })
	for _, c := range fresh {
		for _, w := range m.live {
			if w.Key == c.Key && w.admitted < 0 && w.number < c.number && w.parent == nil && !c.forked {
				t.Fatalf("sequence %d overtook %d of the same key", c.number, w.number)
			}
		}
	}
	m.checkWork(r.Work)
	m.run(r)
	work := slices.Clone(r.Work)
	if between != nil {
		between()
	}
	m.now = m.now.Add(10 * time.Millisecond)
	for _, w := range work {
		m.s.Ran(w)
		c := m.live[w.Seq]
		if c == nil {
			continue // cancelled while the step ran
		}
		if w.N == 0 {
			c.scored++
		} else {
			c.scored += m.wanted(w.Seq, w.Pos, min(w.N, c.prompt-w.Pos))
		}
		c.ran += w.N - w.Draft
		if !w.Logits {
			continue
		}
		if c.scored != max(c.Rows, 1) {
			t.Fatalf("%d rows of sequence %d, want %d", c.scored, c.number, c.Rows)
		}
		if c.Len >= c.stop {
			m.s.End(w.Seq)
			delete(m.live, w.Seq)
			m.ended++
			continue
		}
		// Some of the proposed tokens are right, and the text ends within them or goes on.
		for right := m.token % (w.Draft + 1); right > 0 && c.Len < c.stop; right-- {
			m.s.Accept(w.Seq)
			c.text = append(c.text, m.guess(w.Seq, c.Len-1))
			c.ran++
			m.accepted++
		}
		m.s.Append(w.Seq)
		c.text = append(c.text, m.fresh())
		if c.Chain != nil {
			c.Chain = c.chain(c.Chain)
		}
		if c.Turns && c.Len == m.longFrom+1 {
			m.s.Rewind(w.Seq)
			c.long, c.ran, c.prompt, c.Rows, c.scored, c.base = true, 0, c.Len, 0, 0, c.Len-1
			if m.trunks > 0 {
				c.Chain = c.chain(nil)
			}
			m.turned++
		}
	}
}

// guess is the token that is proposed for a position.
func (m *sim) guess(q *Seq, pos int) int32 { return int32(-1e6) - int32(m.live[q].number*1000+pos) }

// run plays the device: it makes the copies, then checks for each sequence that what lies before its tokens is its own
// text, and that nobody else holds the blocks it writes.
func (m *sim) run(r Round) {
	m.t.Helper()
	block := func(b int32) *[plan.KVBlock]cell {
		if m.memory[b] == nil {
			m.memory[b] = new([plan.KVBlock]cell)
		}
		return m.memory[b]
	}
	for _, c := range r.Copies {
		*block(c.Dst) = *block(c.Src)
		m.copies++
	}
	for _, w := range r.Work {
		c := m.live[w.Seq]
		for pos := range w.Pos {
			want := cell{c.Key, c.long, c.text[pos]}
			if got := block(w.Seq.Table.Blocks[pos/plan.KVBlock])[pos%plan.KVBlock]; got != want {
				m.t.Fatalf("sequence %d finds %+v at position %d of %d, not %+v", c.number, got, pos, w.Pos, want)
			}
		}
		for pos := w.Pos; pos < w.Pos+w.N; pos++ {
			b := w.Seq.Table.Blocks[pos/plan.KVBlock]
			if n := m.pool.Shares(b); n != 1 || m.pool.Published(b) {
				m.t.Fatalf("sequence %d writes block %d, which %d tables hold, published %v", c.number, b, n, m.pool.Published(b))
			}
			token := m.guess(w.Seq, pos)
			if pos < w.Seq.Len {
				token = c.text[pos]
			}
			block(b)[pos%plan.KVBlock] = cell{c.Key, c.long, token}
		}
	}
}

func (m *sim) checkAccount() {
	m.t.Helper()
	var tables []*kv.Table
	running := 0
	for q, c := range m.live {
		tables = append(tables, &kv.Table{Blocks: q.spare})
		if !q.Running() {
			if n := len(q.Table.Blocks); n != 0 && (!q.forked || n != kv.Blocks(c.prompt)) {
				m.t.Fatalf("waiting sequence %d holds %d blocks", c.number, n)
			}
			tables = append(tables, &q.Table)
			continue
		}
		if n := len(q.spare); n > 0 && len(q.children) == 0 && (!q.Turns || n != q.published) {
			m.t.Fatalf("sequence %d holds %d blocks that it cannot need", c.number, len(q.spare))
		}
		running++
		if n := len(q.Table.Blocks); n > kv.Blocks(q.Max) || n < kv.Blocks(q.Len) {
			m.t.Fatalf("sequence %d of %d tokens holds %d blocks", c.number, q.Max, len(q.Table.Blocks))
		}
		tables = append(tables, &q.Table)
	}
	if err := m.pool.Check(tables...); err != nil {
		m.t.Fatal(err)
	}
	if running != m.s.Running() || len(m.live)-running != m.s.Waiting() || running > m.cfg.Seqs {
		m.t.Fatalf("%d running, %d waiting; the scheduler says %d, %d", running, len(m.live)-running,
			m.s.Running(), m.s.Waiting())
	}
}

// checkPaused: of the sequences that have started, those run that were admitted first, and so the first of them always.
func (m *sim) checkPaused() {
	m.t.Helper()
	youngest, oldest := int64(0), int64(1<<62)
	for q := range m.live {
		switch {
		case q.state == 3 && (len(q.Table.Blocks) > 0 || len(q.spare) > 0):
			m.t.Fatalf("a paused sequence: %+v", q)
		case q.state == 3:
			oldest = min(oldest, q.order)
		case q.Running():
			youngest = max(youngest, q.order)
		}
	}
	if oldest < youngest {
		m.t.Fatalf("sequence %d is paused and %d runs", oldest, youngest)
	}
}

func (m *sim) checkWork(work []Work) {
	t := m.t
	t.Helper()
	if len(work) == 0 && m.s.Waiting() > 0 {
		t.Fatalf("nothing runs although %d wait", m.s.Waiting())
	}
	total, single, prompts, partial, outputs, scored, drafts := 0, 0, 0, 0, 0, 0, 0
	for _, w := range work {
		if w.Seq.Len-w.Pos > 1 && m.wanted(w.Seq, w.Pos, w.Seq.Len-w.Pos) > 1 {
			scored++
		}
	}
	seen := map[*Seq]bool{}
	for _, w := range work {
		c := m.live[w.Seq]
		if c == nil || seen[w.Seq] || !w.Seq.Running() {
			t.Fatalf("work for a sequence that is gone, waiting or listed twice")
		}
		seen[w.Seq] = true
		if c.child && w.N == 0 && c.ran == 0 {
			c.ran = c.prompt
			m.forks++
		} else if c.ran == 0 && w.Pos > 0 && w.Pos == w.Seq.Hit && w.Pos%plan.KVBlock == 0 && w.Pos <= c.prompt-max(c.Rows, 1) {
			c.ran = w.Pos
			m.hits += w.Pos
		} else if w.Pos != c.ran && w.Seq.ran > 0 && w.Pos%plan.KVBlock == 0 {
			// It was paused. What it has got it is not asked for again; others may have run more of its text meanwhile.
			c.base, c.ran = max(c.base, c.ran), w.Pos
			m.resumed++
		}
		m.again += w.Again
		if w.Pos != c.ran || w.N < 1 && (!c.child || c.ran != c.prompt) || w.Pos+w.N-w.Draft > w.Seq.Len ||
			w.Logits != (w.Pos+w.N-w.Draft == w.Seq.Len) {
			t.Fatalf("sequence %d has %d of %d tokens: work %+v", c.number, c.ran, w.Seq.Len, w)
		}
		if rows := m.wanted(w.Seq, w.Pos, w.N); w.Rows != rows {
			t.Fatalf("work %+v of sequence %d with %d tokens of prompt, %d scored: want %d rows", w, c.number, c.prompt, c.Rows, rows)
		}
		if w.Draft > 0 && (w.N != 1+w.Draft || w.Pos+w.N >= w.Seq.Max || m.draft == nil) {
			t.Fatalf("sequence %d of %d to %d tokens: work %+v", c.number, w.Seq.Len, w.Seq.Max, w)
		}
		drafts += w.Draft
		total += w.N
		outputs += w.Rows
		if w.N == 0 {
			if prompts > 0 {
				t.Fatal("a sequence with nothing to run behind a prompt")
			}
		} else if w.Seq.Len-w.Pos == 1 {
			single++
			if prompts > 0 {
				t.Fatal("a single token behind a prompt")
			}
		} else {
			prompts++
			// A prompt that has used up its share of the outputs could not use more tokens.
			if !w.Logits && (scored == 0 || w.Rows < 1+(m.outputs()-len(work))/scored) {
				partial++
			}
		}
	}
	// Every sequence that runs moves on.
	if len(seen) != m.s.Running() {
		t.Fatalf("%d of %d running sequences in the round", len(seen), m.s.Running())
	}
	if outputs > m.outputs() {
		t.Fatalf("%d rows of logits in a step of at most %d", outputs, m.outputs())
	}
	if m.drafted += drafts; drafts > 0 && prompts > 0 {
		t.Fatalf("%d proposed tokens beside %d prompts", drafts, prompts)
	}
	limit := m.cfg.StepTokens
	if prompts > 0 {
		most := min(m.limits[0], m.cfg.StepTokens)
		if single > 0 {
			most = min(m.limits[1], m.cfg.MixTokens)
		}
		limit = min(limit, single+max(most, prompts))
	}
	if total > limit {
		t.Fatalf("%d tokens in a step of at most %d", total, limit)
	}
	// No token is wasted while a prompt could use it.
	if partial > 0 && total != limit {
		t.Fatalf("%d of %d tokens used, %d prompts left over", total, limit, partial)
	}
}

func (m *sim) outputs() int { return max(m.cfg.Outputs, m.cfg.Seqs) }

// wanted returns how many of n tokens of a sequence from pos on need logits: the last Rows of its prompt, all behind it.
func (m *sim) wanted(q *Seq, pos, n int) int {
	rows := 0
	for i := pos; i < pos+n; i++ {
		if i >= m.live[q].base {
			rows++
		}
	}
	return rows
}

// drain runs until everything has ended.
func (m *sim) drain(limit int) {
	m.t.Helper()
	for i := 0; len(m.live) > 0; i++ {
		if i > limit {
			m.t.Fatalf("%d sequences are left after %d rounds", len(m.live), limit)
		}
		m.round(nil)
	}
	if m.pool.Free() != m.pool.Total() || m.s.Waiting()+m.s.Running() != 0 || len(m.s.lanes) != 0 || len(m.s.turns) != 0 {
		m.t.Fatalf("left at the end: %d blocks, %d waiting, %d running, %d lanes", m.pool.Total()-m.pool.Free(),
			m.s.Waiting(), m.s.Running(), len(m.s.lanes))
	}
	if m.number != m.ended+m.expired+m.canceled {
		m.t.Fatalf("%d came, %d ended, %d expired, %d cancelled", m.number, m.ended, m.expired, m.canceled)
	}
}

// TestRandomArrivals runs thousands of sequences of all kinds through many configurations.
func TestRandomArrivals(t *testing.T) {
	arrivals, forks, copies, hits, turned, drafted, accepted, again, resumed := 0, 0, 0, 0, 0, 0, 0, 0, 0
	for seed := range uint64(80) {
		rng := rand.New(rand.NewPCG(seed, 1))
		cfg := Config{Seqs: 1 + rng.IntN(8), Queue: rng.IntN(20)}
		cfg.StepTokens = cfg.Seqs + rng.IntN(100)
		cfg.MixTokens = 1 + rng.IntN(40)
		if rng.IntN(2) == 0 {
			cfg.QueueTimeout = time.Duration(1+rng.IntN(500)) * 10 * time.Millisecond
		}
		blocks := 8 + rng.IntN(60)
		scores, families, drafts := seed%2 == 1, seed%3 > 0, seed%4 < 2
		if scores || drafts {
			cfg.Outputs = cfg.Seqs + rng.IntN(30)
		}
		m := newSim(t, cfg, blocks)
		m.rows = func(prompt int) int {
			if !scores || rng.IntN(2) == 0 {
				return 0
			}
			return rng.IntN(prompt + 1)
		}
		if drafts {
			m.draft = func() int { return rng.IntN(12) }
		}
		if seed%3 < 2 { // from less than there are prompts to more than a step takes
			m.limit = func() int { return rng.IntN(rng.IntN(130) + 1) }
		}
		m.trunks = int(seed % 5)
		if seed%4 == 3 {
			m.longFrom = 30 + rng.IntN(100)
		}
		var clients []*client
		for range 400 {
			for range rng.IntN(3) {
				prompt := 1 + rng.IntN(rng.IntN(120)+1)
				extra := rng.IntN(100)
				if seed >= 40 { // answers that may fill the memory
					extra = rng.IntN(min(400, blocks*plan.KVBlock-160))
				}
				var deadline time.Duration
				if rng.IntN(10) == 0 {
					deadline = time.Duration(1+rng.IntN(2000)) * time.Millisecond
				}
				key := string(rune('a' + rng.IntN(1+rng.IntN(5))))
				children := 0
				if families && rng.IntN(3) == 0 && Together(prompt+extra) <= blocks {
					children = 1 + rng.IntN(6)
				}
				clients = append(clients, m.addFamily(key, prompt, extra, rng.IntN(extra+1), deadline, children, rng.IntN(10) == 0)...)
			}
			m.round(func() {
				if len(clients) > 0 && rng.IntN(4) == 0 {
					m.cancel(clients[rng.IntN(len(clients))])
				}
			})
			if len(clients) > 0 && rng.IntN(6) == 0 {
				m.cancel(clients[len(clients)-1])
			}
		}
		m.drain(100000)
		arrivals += m.number
		forks += m.forks
		copies += m.copies
		hits += m.hits
		turned += m.turned
		drafted += m.drafted
		accepted += m.accepted
		again += m.again
		resumed += m.resumed
	}
	if again < 10000 || resumed < 100 {
		t.Errorf("only %d sequences started again, with %d tokens", resumed, again)
	}
	if arrivals < 5000 || forks < 400 || copies < 400 || hits < 8000 || turned < 100 || drafted < 10000 || accepted < 4000 {
		t.Errorf("only %d arrivals, %d forks, %d copies, %d tokens found, %d turned, %d proposed, %d accepted",
			arrivals, forks, copies, hits, turned, drafted, accepted)
	}
}

// FuzzSched plays the bytes as arrivals, cancellations and rounds.
func FuzzSched(f *testing.F) {
	f.Add([]byte{4, 20, 5, 3, 10, 0, 0, 10, 20, 5, 1, 1, 1, 0, 1, 100, 0, 2, 3, 0, 1, 1})
	f.Add([]byte{1, 0, 0, 0, 1, 3, 0, 1, 255, 255, 1, 2, 0, 1, 1, 1, 1, 1, 2, 0})
	f.Add([]byte{8, 255, 1, 1, 60, 1, 0, 0, 200, 9, 0, 1, 200, 9, 0, 2, 3, 9, 1, 1, 1, 3, 7, 2, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		next := func() int {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return int(b)
		}
		cfg := Config{Seqs: 1 + next()%16}
		cfg.StepTokens = cfg.Seqs + next()
		cfg.MixTokens, cfg.Queue = 1+next(), next()%32
		blocks := 16 + next()
		cfg.QueueTimeout = time.Duration(next()) * 20 * time.Millisecond
		m := newSim(t, cfg, blocks)
		m.rows = func(prompt int) int { return prompt * (blocks % 4) / 3 }
		m.trunks, m.longFrom = blocks%3, blocks%7*20
		if blocks%2 == 0 {
			m.draft = func() int { return m.token % 9 }
		}
		if blocks%3 > 0 {
			m.limit = func() int { return m.token * 7 % 64 }
		}
		var clients []*client
		for len(data) > 0 {
			switch next() % 4 {
			case 0:
				key, prompt, extra := string(rune('a'+next()%6)), 1+next(), next()
				deadline, children := time.Duration(next()%64)*16*time.Millisecond, 0
				if Together(prompt+extra) <= blocks {
					children = max(next()%8-3, 0)
				}
				clients = append(clients, m.addFamily(key, prompt, extra, extra/2, deadline, children, extra%5 == 0)...)
			case 1:
				m.round(nil)
			case 2:
				if len(clients) > 0 {
					m.cancel(clients[next()%len(clients)])
				}
			case 3:
				m.round(func() {
					if len(clients) > 0 {
						m.cancel(clients[next()%len(clients)])
					}
				})
			}
		}
		m.drain(1 << 20)
	})
}
