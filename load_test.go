package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	loadServers = flag.String("load", "", "NAME=URL,... of servers that TestLoad measures, such as http://127.0.0.1:8750/v1; self stands for one that it starts")
	loadRounds  = flag.Int("load-rounds", 3, "rounds of TestLoad")
)

// target is a server under load, and what was measured of it, by name and in the order of rounds.
type target struct {
	name, base, model string
	results           map[string][]float64
}

func (s *target) add(name string, v float64) { s.results[name] = append(s.results[name], v) }

// TestLoad measures servers with closed-loop clients over loopback, in alternating rounds: what many clients get in all, how
// long a first token takes while others run and while a long prompt comes, and what a second turn costs. It asserts
// nothing but that answers come; ./build.sh load prints its table.
func TestLoad(t *testing.T) {
	if *loadServers == "" {
		t.Skip("measures, with -load")
	}
	var targets []*target
	for server := range strings.SplitSeq(*loadServers, ",") {
		name, base, ok := strings.Cut(server, "=")
		if !ok {
			name, base = "aquifer", serveEmbedded(t, "--parallel", "16", "--context", "4608")
		}
		targets = append(targets, &target{name: name, base: base, results: map[string][]float64{}, model: firstModel(t, base)})
	}
	for range *loadRounds {
		for _, s := range targets {
			for _, clients := range []int{1, 2, 4, 8, 16} {
				s.throughput(t, clients)
			}
			s.interrupted(t)
			s.secondTurn(t)
		}
	}
	t.Log("\n" + table(targets))
}

// request is one of equal work for every server: a prompt that nobody has sent before and as many tokens as it says.
func (s *target) request(rng *rand.Rand, prompt, tokens int) chatBody {
	return chatBody{
		"model": s.model, "messages": userSays(words(rng, prompt)), "max_tokens": tokens, "temperature": 0, "stream": true,
		"ignore_eos": true, "stream_options": map[string]bool{"include_usage": true},
	}
}

var seeds = rand.NewPCG(uint64(time.Now().UnixNano()), 1)

func (s *target) ask(t *testing.T, c *http.Client, body chatBody) exchange {
	x := exchangeChat(t.Context(), c, s.base, body, nil)
	if x.failure != nil || x.status != 200 || !x.whole || x.tokens == 0 {
		t.Errorf("%s: %+v: %v", s.name, x, x.failure)
	}
	return x
}

// oneShot keeps no connections: a server may close an idle one at any time.
func oneShot() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// throughput has so many clients ask three times each, as soon as the answer before has come.
func (s *target) throughput(t *testing.T, clients int) {
	const asks, prompt, tokens = 3, 60, 32
	first, done := s.crowd(t, clients, asks, prompt, tokens, nil)
	s.add(fmt.Sprintf("tok/s, %d clients", clients), float64(clients*asks*tokens)/done.Seconds())
	s.add(fmt.Sprintf("TTFT p50 ms, %d clients", clients), quantile(first, 0.5))
	s.add(fmt.Sprintf("TTFT p99 ms, %d clients", clients), quantile(first, 0.99))
}

// crowd runs clients and returns their times to the first token in ms, and how long all took. beside runs with them.
func (s *target) crowd(t *testing.T, clients, asks, prompt, tokens int, beside func()) (first []float64, took time.Duration) {
	var mu sync.Mutex
	var all sync.WaitGroup
	begin := time.Now()
	for range clients {
		mu.Lock()
		rng := rand.New(rand.NewPCG(seeds.Uint64(), 2))
		mu.Unlock()
		all.Go(func() {
			c := oneShot()
			for range asks {
				x := s.ask(t, c, s.request(rng, prompt, tokens))
				mu.Lock()
				first = append(first, ms(x.first))
				mu.Unlock()
			}
		})
	}
	if beside != nil {
		beside()
	}
	all.Wait()
	return first, time.Since(begin)
}

// interrupted has a prompt of 2,000 tokens arrive while eight clients run.
func (s *target) interrupted(t *testing.T) {
	var long exchange
	first, _ := s.crowd(t, 8, 4, 60, 32, func() {
		time.Sleep(500 * time.Millisecond)
		rng := rand.New(rand.NewPCG(seeds.Uint64(), 3))
		long = s.ask(t, oneShot(), s.request(rng, 2000, 8))
	})
	s.add("TTFT ms of a prompt of 2,000 among 8 clients", ms(long.first))
	s.add("TTFT p50 ms of those", quantile(first, 0.5))
	s.add("TTFT p99 ms of those", quantile(first, 0.99))
}

// secondTurn asks a conversation of 4,000 tokens, and then on.
func (s *target) secondTurn(t *testing.T) {
	rng := rand.New(rand.NewPCG(seeds.Uint64(), 4))
	body := s.request(rng, 3900, 8)
	one := s.ask(t, oneShot(), body)
	history := body["messages"].([]map[string]string)
	body["messages"] = append(history, map[string]string{"role": "assistant", "content": one.text}, userSays("And what then?")[0])
	two := s.ask(t, oneShot(), body)
	s.add("TTFT ms of a first turn of 4,000", ms(one.first))
	s.add("TTFT ms of the second turn", ms(two.first))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func quantile(list []float64, q float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[min(int(q*float64(len(list))), len(list)-1)]
}

// table has the medians of the rounds, and the ratios of the first server to the others, round by round.
func table(targets []*target) string {
	var b strings.Builder
	var names []string
	for name := range targets[0].results {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(len(strings.Fields(x)), len(strings.Fields(y))), cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	})
	b.WriteString("| |")
	for _, s := range targets {
		fmt.Fprintf(&b, " %s |", s.name)
	}
	for _, s := range targets[1:] {
		fmt.Fprintf(&b, " ratio to %s, median (range) |", s.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", 2*len(targets)-1) + "\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| %s |", name)
		for _, s := range targets {
			fmt.Fprintf(&b, " %.0f |", quantile(s.results[name], 0.5))
		}
		for _, s := range targets[1:] {
			var ratios []float64
			for i, v := range s.results[name] {
				ratios = append(ratios, targets[0].results[name][i]/v)
			}
			fmt.Fprintf(&b, " %.2f (%.2f to %.2f) |", quantile(ratios, 0.5), slices.Min(ratios), slices.Max(ratios))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestLoadTable: medians and ratios are those of the rounds.
func TestLoadTable(t *testing.T) {
	got := table([]*target{
		{name: "a", results: map[string][]float64{"x": {2, 4, 6}}}, {name: "b", results: map[string][]float64{"x": {1, 1, 2}}},
	})
	want := "| | a | b | ratio to b, median (range) |\n|---|---|---|---|\n| x | 4 | 1 | 3.00 (2.00 to 4.00) |\n"
	if got != want {
		t.Errorf("%s", got)
	}
}

// firstModel is the id of the first model that a server has.
func firstModel(t *testing.T, base string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var list struct{ Data []struct{ ID string } }
	if err := fetchJSON(ctx, base+"/models", &list); err != nil || len(list.Data) == 0 {
		t.Fatalf("%s has no models: %v", base, err)
	}
	return list.Data[0].ID
}
