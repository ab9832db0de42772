package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// model is what the tests load.
type model struct {
	id     string
	broken bool
}

var errRoom = errors.New("no room")

// shop loads models in a second each, into a memory that holds some of them, and checks that nothing is unloaded that
// somebody uses.
type shop struct {
	t      *testing.T
	h      *Host[*model]
	room   int              // models that fit; 0 for any number
	steps  int              // seconds that a load takes, with progress in each; 0 for one
	errs   map[string]error // of loads
	mu     sync.Mutex
	here   []string
	loads  []string
	using  map[*model]int
	last   []bool // Load.Last of each load
	unload time.Duration
	hurry  map[*model]chan struct{} // closed when somebody waits for a model to be gone
}

func newShop(t *testing.T, cfg Config[*model]) *shop {
	s := &shop{t: t, errs: map[string]error{}, using: map[*model]int{}, unload: 100 * time.Millisecond, hurry: map[*model]chan struct{}{}}
	cfg.Load, cfg.Unload = s.load, s.drop
	cfg.NoRoom = func(err error) bool { return errors.Is(err, errRoom) }
	cfg.Broken = func(m *model) bool { return m.broken }
	cfg.Hurry = func(m *model) {
		s.mu.Lock()
		defer s.mu.Unlock()
		select {
		case <-s.hurry[m]:
		default:
			close(s.hurry[m])
		}
	}
	s.h = New(cfg)
	return s
}

func (s *shop) load(ctx context.Context, l Load) (*model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = append(s.last, l.Last)
	if s.room > 0 && len(s.here) >= s.room {
		return nil, errRoom
	}
	s.loads = append(s.loads, l.ID)
	s.mu.Unlock()
	steps := int64(max(s.steps, 1))
	var err error
	for i := range steps {
		l.Progress(i+1, steps+1)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	s.mu.Lock()
	if err == nil {
		err = s.errs[l.ID]
	}
	if err != nil {
		return nil, err
	}
	s.here = append(s.here, l.ID)
	m := &model{id: l.ID}
	s.hurry[m] = make(chan struct{})
	return m, nil
}

// drop takes its time, and 100 ms if somebody waits.
func (s *shop) drop(m *model) {
	s.mu.Lock()
	hurry := s.hurry[m]
	s.mu.Unlock()
	select {
	case <-time.After(s.unload):
	case <-hurry:
		time.Sleep(min(s.unload, 100*time.Millisecond))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.using[m]; n > 0 {
		s.t.Errorf("%s is unloaded under %d users", m.id, n)
	}
	s.here = slices.DeleteFunc(s.here, func(id string) bool { return id == m.id })
}

// use holds a model for a time.
func (s *shop) use(ctx context.Context, id string, keep *time.Duration, d time.Duration) error {
	m, release, err := s.h.Acquire(ctx, id, keep)
	if err != nil {
		return err
	}
	if m.id != id {
		s.t.Errorf("asked for %s, got %s", id, m.id)
	}
	s.mu.Lock()
	s.using[m]++
	s.mu.Unlock()
	time.Sleep(d)
	s.mu.Lock()
	s.using[m]--
	s.mu.Unlock()
	release()
	release() // a second time does nothing
	return nil
}

func (s *shop) must(id string, d time.Duration) {
	s.t.Helper()
	if err := s.use(s.t.Context(), id, nil, d); err != nil {
		s.t.Errorf("%s: %v", id, err)
	}
}

// loaded names what is in memory, in the order of loading.
func (s *shop) loaded() string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.here, " ")
}

func (s *shop) expect(want string) {
	s.t.Helper()
	if got := s.loaded(); got != want {
		s.t.Errorf("loaded: %q, want %q", got, want)
	}
}

func (s *shop) close() {
	s.h.Close(context.Background())
	if got := s.loaded(); got != "" {
		s.t.Errorf("after Close %q are loaded", got)
	}
	if _, _, err := s.h.Acquire(context.Background(), "a", nil); !errors.Is(err, ErrClosed) {
		s.t.Errorf("after Close: %v", err)
	}
}

// run is a test in a bubble of its own time.
func run(t *testing.T, cfg Config[*model], f func(t *testing.T, s *shop)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, cfg)
		f(t, s)
		s.close()
	})
}

func TestKeep(t *testing.T) {
	d := func(d time.Duration) *time.Duration { return &d }
	run(t, Config[*model]{}, func(t *testing.T, s *shop) {
		s.must("a", 0)
		time.Sleep(DefaultKeep - time.Second)
		s.expect("a")
		s.must("a", time.Hour) // its time begins anew, when it is not used any more
		time.Sleep(DefaultKeep - time.Second)
		s.expect("a")
		if len(s.loads) != 1 {
			t.Errorf("loads %v", s.loads)
		}
		time.Sleep(2 * time.Second)
		s.expect("")

		// A request's own time, which later ones keep that say nothing.
		for range 2 {
			if err := s.use(t.Context(), "a", d(time.Minute), 0); err != nil {
				t.Error(err)
			}
			s.must("a", 0)
			time.Sleep(time.Minute + time.Second)
			s.expect("")
		}
		if err := s.use(t.Context(), "a", d(0), 0); err != nil {
			t.Error(err)
		}
		time.Sleep(s.unload)
		s.expect("")
		if err := s.use(t.Context(), "a", d(-1), 0); err != nil {
			t.Error(err)
		}
		time.Sleep(1000 * time.Hour)
		s.expect("a")
		if st := s.h.Status(); len(st) != 1 || !st[0].Until.IsZero() || st[0].Phase != Ready || st[0].Users != 0 {
			t.Errorf("%+v", st)
		}
		// Two users, one of whom wants it gone: it goes when both have.
		go s.must("a", 10*time.Second)
		synctest.Wait()
		if err := s.use(t.Context(), "a", d(0), time.Second); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		s.expect("a")
		time.Sleep(10 * time.Second)
		s.expect("")
	})
}

// TestWaiters: all who want a model wait for the one load of it, see its progress, and get its error.
func TestWaiters(t *testing.T) {
	run(t, Config[*model]{MaxWaiting: 3}, func(t *testing.T, s *shop) {
		boom := errors.New("boom")
		s.errs["bad"] = boom
		for _, id := range []string{"a", "bad"} {
			var wg sync.WaitGroup
			errs := make([]error, 5)
			for i := range errs {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * time.Millisecond)
					errs[i] = s.use(t.Context(), id, nil, 0)
				})
			}
			time.Sleep(100 * time.Millisecond)
			st := s.h.Status()
			st = slices.DeleteFunc(st, func(st Status[*model]) bool { return st.ID != id })
			if len(st) != 1 || st[0].Phase != Loading || st[0].Done != 1 || st[0].Total != 2 || st[0].Model != nil {
				t.Errorf("while it loads: %+v", st)
			}
			wg.Wait()
			for i, err := range errs {
				var failed *LoadError
				switch {
				case i >= 3 && !errors.Is(err, ErrBusy), i < 3 && id == "a" && err != nil:
					t.Errorf("%s, request %d: %v", id, i, err)
				case i < 3 && id == "bad" && (!errors.As(err, &failed) || failed.ID != id || !errors.Is(err, boom)):
					t.Errorf("%s, request %d: %v", id, i, err)
				}
			}
			s.must("a", 0)
		}
		if want := []string{"a", "bad"}; !slices.Equal(s.loads, want) {
			t.Errorf("loads %v, want %v", s.loads, want)
		}
		delete(s.errs, "bad")
		s.must("bad", 0) // an error is not remembered
	})
}

// TestAbandoned: a load goes on without those who wanted it, one that has not begun does not begin.
func TestAbandoned(t *testing.T) {
	run(t, Config[*model]{WaitTimeout: 300 * time.Millisecond}, func(t *testing.T, s *shop) {
		go func() {
			if err := s.use(t.Context(), "b", nil, 0); !errors.Is(err, ErrTimeout) {
				t.Errorf("b: %v", err)
			}
		}()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := s.use(ctx, "a", nil, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("a: %v", err)
		}
		time.Sleep(2 * time.Second)
		if got := s.loaded(); got != "a" && got != "b" {
			t.Errorf("loaded: %q", got)
		}
		if n := len(s.loads); n != 1 {
			t.Errorf("%d loads", n)
		}
		time.Sleep(DefaultKeep)
		s.expect("") // one that nobody has used has a time as well
	})
}

// TestPatience: who waits for a load that goes on gets the model however long it takes, who waits for another's does not,
// nor who waits for one that stands still.
func TestPatience(t *testing.T) {
	run(t, Config[*model]{WaitTimeout: 3 * time.Second}, func(t *testing.T, s *shop) {
		s.steps = 20
		began := time.Now()
		go func() {
			time.Sleep(time.Second)
			if err := s.use(t.Context(), "b", nil, 0); !errors.Is(err, ErrTimeout) || time.Since(began) != 4*time.Second {
				t.Errorf("b after %v: %v", time.Since(began), err)
			}
		}()
		s.must("a", 0)
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("a after %v", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		stuck := New(Config[*model]{WaitTimeout: 3 * time.Second, Load: func(ctx context.Context, l Load) (*model, error) {
			l.Progress(1, 2)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		began := time.Now()
		if _, _, err := stuck.Acquire(t.Context(), "a", nil); !errors.Is(err, ErrTimeout) || time.Since(began) != 6*time.Second {
			t.Errorf("stuck after %v: %v", time.Since(began), err)
		}
		stuck.Close(t.Context())
	})
}

func TestLRU(t *testing.T) {
	run(t, Config[*model]{Max: 2}, func(t *testing.T, s *shop) {
		s.must("a", 0)
		s.must("b", 0)
		s.must("a", 0)
		s.must("c", 0)
		s.expect("a c")
		// What is in use stays, whatever its age.
		go s.must("a", time.Minute)
		synctest.Wait()
		s.must("b", 0)
		s.must("c", 0)
		s.expect("a c")
		time.Sleep(2 * time.Minute)
	})
}

// TestSwap: with room for one, each request is answered in the order of coming, and none is dropped; a model that is
// wanted all the time does not keep the others out.
func TestSwap(t *testing.T) {
	run(t, Config[*model]{Max: 1, WaitTimeout: -1}, func(t *testing.T, s *shop) {
		stop := time.Now().Add(time.Minute)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				for time.Now().Before(stop) {
					s.must("hot", 3*time.Second) // at any time two of them are at work
				}
			})
		}
		time.Sleep(10 * time.Second)
		began := time.Now()
		s.must("cold", time.Second)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("another model comes after %v", took)
		}
		wg.Wait()
		if want := []string{"hot", "cold", "hot"}; !slices.Equal(s.loads, want) {
			t.Errorf("loads %v, want %v", s.loads, want)
		}
	})
}

// TestRoom: models go only if one does not fit, the one that was used longest ago first; the last attempt is told so.
func TestRoom(t *testing.T) {
	run(t, Config[*model]{}, func(t *testing.T, s *shop) {
		s.room = 2
		s.must("a", 0)
		s.must("b", 0)
		if want := []bool{true, false}; !slices.Equal(s.last, want) {
			t.Errorf("last %v, want %v", s.last, want)
		}
		s.must("c", 0)
		s.expect("b c")
		// One that is asked to go, and then is not needed to: b has a user, c becomes free first.
		go s.must("b", time.Hour)
		synctest.Wait()
		go s.must("c", 10*time.Second)
		synctest.Wait()
		s.must("d", 0)
		s.expect("b d")
		s.must("b", 0) // who asks is let in again
		s.room = 0
		s.must("e", 0)
		s.expect("b d e")

		s.errs["huge"] = errRoom
		s.last = nil
		time.Sleep(2 * time.Hour)
		var failed *LoadError
		if err := s.use(t.Context(), "huge", nil, 0); !errors.As(err, &failed) || !errors.Is(err, errRoom) {
			t.Errorf("what never fits: %v", err)
		}
		if want := []bool{true}; !slices.Equal(s.last, want) {
			t.Errorf("last %v, want %v", s.last, want)
		}
	})
}

// TestHurry: who unloads a model that somebody waits for is told, whether it is the model that is wanted or its room, and at no
// other time.
func TestHurry(t *testing.T) {
	run(t, Config[*model]{Max: 1}, func(t *testing.T, s *shop) {
		s.unload = 20 * time.Second
		waits := func(id string, least, most time.Duration) {
			t.Helper()
			began := time.Now()
			s.must(id, 0)
			if took := time.Since(began); took < least || took > most {
				t.Errorf("%s comes after %v, want %v to %v", id, took, least, most)
			}
		}
		atOnce := time.Duration(0)
		waits("a", time.Second, time.Second)
		waits("b", time.Second, 2*time.Second) // needs the room of a
		if err := s.use(t.Context(), "b", &atOnce, 0); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Second)
		waits("b", time.Second, 2*time.Second) // is just being unloaded
		if err := s.use(t.Context(), "b", &atOnce, 0); err != nil {
			t.Error(err)
		}
		time.Sleep(19 * time.Second)
		s.expect("b") // nobody waits
		time.Sleep(2 * time.Second)
		s.expect("")
	})
}

func TestPin(t *testing.T) {
	run(t, Config[*model]{Max: 1}, func(t *testing.T, s *shop) {
		s.errs["bad"] = errors.New("boom")
		if err := s.h.Pin(t.Context(), "bad"); err == nil {
			t.Error("no error")
		}
		if err := s.h.Pin(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
		var none time.Duration
		if err := s.use(t.Context(), "p", &none, 0); err != nil {
			t.Error(err)
		}
		s.must("a", 0)
		s.must("b", 0)
		s.expect("p b")
		time.Sleep(1000 * time.Hour)
		s.expect("p")
		if st := s.h.Status(); len(st) != 1 || !st[0].Pinned {
			t.Errorf("%+v", st)
		}
		// One that breaks is loaded again, with nobody asking.
		m, release, err := s.h.Acquire(t.Context(), "p", nil)
		if err != nil {
			t.Fatal(err)
		}
		m.broken = true
		release()
		s.must("p", 0)
		if n := len(s.loads); n != 5 || s.loads[4] != "p" {
			t.Errorf("loads %v", s.loads)
		}
	})
}

// TestBroken: a broken model is kept for its users, and loaded anew for the next one.
func TestBroken(t *testing.T) {
	run(t, Config[*model]{Max: 2}, func(t *testing.T, s *shop) {
		m, release, err := s.h.Acquire(t.Context(), "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		m.broken = true
		go s.must("a", 0)
		synctest.Wait()
		s.must("b", 0) // another load does not make it whole
		s.expect("a b")
		release()
		time.Sleep(2 * time.Second)
		s.expect("b a")
		if want := []string{"a", "b", "a"}; !slices.Equal(s.loads, want) {
			t.Errorf("loads %v, want %v", s.loads, want)
		}
	})
}

func TestClose(t *testing.T) {
	run(t, Config[*model]{}, func(t *testing.T, s *shop) {
		s.must("a", 0)
		go s.must("a", 3*time.Second)
		synctest.Wait()
		for _, id := range []string{"b", "c"} { // one that loads, and one whose turn has not come
			go func() {
				if err := s.use(t.Context(), id, nil, 0); !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
					t.Errorf("%s: %v", id, err)
				}
			}()
			synctest.Wait()
		}
		began := time.Now()
		s.h.Close(t.Context())
		if took := time.Since(began); took != 3*time.Second+s.unload {
			t.Errorf("closed after %v", took)
		}
	})
	run(t, Config[*model]{}, func(t *testing.T, s *shop) {
		_, release, err := s.h.Acquire(t.Context(), "a", nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.h.Close(ctx) // does not wait for ever
		s.expect("")
		release()
	})
}

// TestHammer lets many clients ask for many models, with every kind of end.
func TestHammer(t *testing.T) {
	run(t, Config[*model]{Max: 3, MaxWaiting: 20, WaitTimeout: 5 * time.Second, Keep: 2 * time.Second}, func(t *testing.T, s *shop) {
		s.room = 2
		s.errs["m4"] = errors.New("boom")
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				for j := range 50 {
					id := fmt.Sprintf("m%d", (i*7+j*j)%6)
					var keep *time.Duration
					if d := time.Duration((i+j)%4-1) * time.Second; j%3 == 0 {
						keep = &d
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(j%9)*time.Second+time.Millisecond)
					err := s.use(ctx, id, keep, time.Duration((i+j)%5)*100*time.Millisecond)
					cancel()
					var failed *LoadError
					if errors.As(err, &failed) && (failed.ID != id || id != "m4" && !errors.Is(err, errRoom)) {
						t.Errorf("%s: %v", id, err)
					}
					s.h.Status()
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Hour)
		s.h.mu.Lock()
		defer s.h.mu.Unlock()
		if s.h.waiting != 0 {
			t.Errorf("%d wait", s.h.waiting)
		}
		for _, e := range s.h.entries {
			if e.phase != Ready || e.users+e.waiters > 0 || e.keep >= 0 {
				t.Errorf("%s stays: %+v", e.id, e)
			}
		}
		if len(s.loads) < 10 {
			t.Errorf("only %d loads", len(s.loads))
		}
	})
}
