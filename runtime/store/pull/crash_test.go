package pull

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"aquifer/runtime/store"
	"aquifer/runtime/store/hub"
	"aquifer/runtime/store/hubtest"
	"aquifer/runtime/vfs"
)

// The test binary pulls when this names an endpoint and a folder, so that it can be killed.
const pullEnv = "AQUIFER_TEST_PULL"

func TestMain(m *testing.M) {
	if endpoint, dir, ok := strings.Cut(os.Getenv(pullEnv), " "); ok {
		if err := pullChild(endpoint, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// pullChild pulls and prints how far it is.
func pullChild(endpoint, dir string) error {
	s, err := store.Open(store.Config{Hub: filepath.Join(dir, "hub"), Own: filepath.Join(dir, "own")}, true)
	if err != nil {
		return err
	}
	c, err := hub.New(hub.Config{Endpoint: endpoint})
	if err != nil {
		return err
	}
	p := &Puller{Store: s, Hub: c, Options: options()}
	p.Chunk = killChunk
	p.Progress = func(done, _ int64) { fmt.Println(done) }
	r, err := store.ParseRepo("org/model")
	if err != nil {
		return err
	}
	_, err = p.Pull(context.Background(), Request{Repo: r})
	return err
}

const (
	killBytes = 24 << 20
	killChunk = 4 << 20
)

// TestKills kills pulls at random times: the next one goes on, what was fetched is lost but for a chunk, and in the end
// the bytes are right.
func TestKills(t *testing.T) {
	want := 20
	if text := os.Getenv("AQUIFER_TEST_KILLS"); text != "" {
		var err error
		want, err = strconv.Atoi(text)
		try(t, err)
	}
	if testing.Short() {
		want = 3
	}
	b := newBench(t)
	files := map[string][]byte{"config.json": []byte("{}"), "model.safetensors": weights(killBytes, 5)}
	b.hub.Add("org/model", "main", files)
	b.hub.Fail(hubtest.On(hubtest.CDN, -1, hubtest.Slow(128<<10, time.Millisecond)))
	random := rand.New(rand.NewPCG(1, 7))
	kills, pulls, worst := 0, 0, int64(0)
	whole := time.Minute // how long a pull takes that nobody kills: the first one
	for kills < want {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), pullEnv+"="+b.hub.URL+" "+b.dir)
		out, err := cmd.StdoutPipe()
		try(t, err)
		cmd.Stderr = os.Stderr
		try(t, cmd.Start())
		start, wait := time.Now(), whole
		if pulls > 0 {
			wait = time.Duration(random.Int64N(int64(whole)))
		}
		timer := time.AfterFunc(wait, func() { cmd.Process.Kill() })
		come := int64(0)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
				come = max(come, n)
			}
		}
		_, err = io.Copy(io.Discard, out)
		err = errors.Join(err, cmd.Wait())
		timer.Stop()
		s := b.open(t)
		if err == nil {
			if pulls++; pulls == 1 {
				whole = time.Since(start) * 5 / 4
			}
			m, err := s.Find(b.repo, "")
			try(t, err)
			b.check(t, m, files, []string{"config.json", "model.safetensors"})
			_, err = s.Remove(b.repo)
			try(t, err)
			continue
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("kill %d: %v", kills, err)
		}
		kills++
		if m, err := s.Find(b.repo, "main"); err == nil && m.Broken != "" {
			t.Fatalf("kill %d: half a model: %s", kills, m.Broken)
		}
		lost := come - 2 - b.kept(t, s, files["model.safetensors"])
		if worst = max(worst, lost); lost > killChunk {
			t.Errorf("kill %d: of %d bytes that had come %d are lost", kills, come, lost)
		}
	}
	if worst <= 0 && !testing.Short() {
		t.Error("no kill ever cost anything: the test shows little")
	}
	t.Logf("%d kills, %d complete pulls, at most %d bytes fetched twice", kills, pulls, worst)
}

// TestPowerCut cuts the power before every operation of a pull that changes the disk: what is left is no model or the
// whole one, every content with a name is the one it is named after, and the next pull completes it.
func TestPowerCut(t *testing.T) {
	b := newBench(t)
	mem := vfs.NewMem()
	var left []*vfs.Mem
	random := rand.New(rand.NewPCG(2, 2))
	fsys := vfs.WithFaults(mem, func(op vfs.Op) error {
		if op.Kind.Changes() {
			left = append(left, mem.Crash(nil), mem.Crash(random), mem.Crash(random))
		}
		return nil
	})
	open := func(fsys vfs.FS) *Puller {
		s, err := store.Open(store.Config{
			Hub: "/hub", HubFS: fsys, OwnFS: vfs.NewMem(), Free: func() (int64, error) { return 1 << 40, nil },
		}, true)
		try(t, err)
		return b.puller(t, s)
	}
	_, err := open(fsys).Pull(context.Background(), Request{Repo: b.repo})
	try(t, err)
	complete := 0
	for i, disk := range append(left, mem.Crash(nil)) {
		p := open(disk)
		m, err := p.Store.Find(b.repo, "main")
		if err == nil {
			complete++
			damage, err := p.Store.Verify(context.Background(), m, nil)
			if err != nil || len(damage) > 0 || m.Broken != "" || len(m.Files) != len(wanted) {
				t.Errorf("disk %d: %+v, %v, %v", i, m, damage, err)
			}
		}
		if i%5 != 0 && i < len(left) {
			continue
		}
		if m, err = p.Pull(context.Background(), Request{Repo: b.repo}); err != nil {
			t.Errorf("disk %d: the next pull: %v", i, err)
			continue
		}
		if damage, err := p.Store.Verify(context.Background(), m, nil); err != nil || len(damage) > 0 || m.Broken != "" {
			t.Errorf("disk %d: after the next pull: %v, %v", i, damage, err)
		}
	}
	if complete == 0 || complete > len(left)/2 {
		t.Errorf("%d of %d disks have the model: the test shows little", complete, len(left))
	}
	t.Logf("%d disks, %d with the model", len(left)+1, complete)
}

// TestDiskFaults makes every operation of a pull fail that writes: the error is the disk's, nothing is tried again for
// long, and the next pull succeeds.
func TestDiskFaults(t *testing.T) {
	b := newBench(t)
	for k, failed := 1, true; failed; k += 3 {
		n := 0
		failed = false
		armed := true
		fsys := vfs.WithFaults(vfs.NewMem(), func(op vfs.Op) error {
			if armed && (op.Kind == vfs.OpWrite || op.Kind == vfs.OpSync || op.Kind == vfs.OpRename || op.Kind == vfs.OpCreate) {
				if n++; n == k {
					failed = true
					return syscall.ENOSPC
				}
			}
			return nil
		})
		s, err := store.Open(store.Config{
			Hub: "/hub", HubFS: fsys, OwnFS: vfs.NewMem(), Free: func() (int64, error) { return 1 << 40, nil },
		}, true)
		try(t, err)
		p := b.puller(t, s)
		_, err = p.Pull(context.Background(), Request{Repo: b.repo})
		if failed && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("operation %d failed: %v", k, err)
		}
		armed = false
		m, err := p.Pull(context.Background(), Request{Repo: b.repo})
		if err != nil || m.Broken != "" {
			t.Errorf("after operation %d failed: %+v, %v", k, m, err)
		}
	}
}
