package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestIdle: a server with a loaded model that has answered and waits uses no processor.
func TestIdle(t *testing.T) {
	base, cmd, _ := startServer(t, tinyModel(t, false), "--context", "100")
	const ask = `{"model":"tiny-1x8g8","messages":[{"role":"user","content":"hello"}],"max_tokens":20}`
	var answer struct{ Usage struct{ Completion int } }
	if code := get(t, "POST", base+"/v1/chat/completions", ask, &answer); code != 200 {
		t.Fatalf("chat: %d", code)
	}
	time.Sleep(200 * time.Millisecond) // connections close, the collector ends
	const watched = time.Second
	before := processorTime(t, cmd.Process.Pid)
	time.Sleep(watched)
	if used := processorTime(t, cmd.Process.Pid) - before; used > watched/200 {
		t.Errorf("%v of processor time in %v of waiting", used, watched)
	}
}

// processorTime returns what all threads of a process have used.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(files) == 0 {
		t.Skip("the kernel keeps no schedstat")
	}
	var total time.Duration
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(data), &ns); err != nil {
			t.Fatal(err)
		}
		total += time.Duration(ns)
	}
	return total
}

// threadsOf runs aquifer doctor, changed by prepare, and returns how many threads it would take.
func threadsOf(t *testing.T, prepare func(*exec.Cmd)) int {
	t.Helper()
	cmd := process("doctor", "--json")
	prepare(cmd)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var d diagnosis
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatal(err)
	}
	return d.Threads
}

// TestAffinity: under taskset there are as many threads as processors are left.
func TestAffinity(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Skip(err)
	}
	first := 0
	for !all.IsSet(first) {
		first++
	}
	done := make(chan int)
	go func() {
		defer close(done)
		runtime.LockOSThread() // and not unlocked: the thread ends with its mask
		var one unix.CPUSet
		one.Set(first)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Error(err)
			return
		}
		done <- threadsOf(t, func(*exec.Cmd) {})
	}()
	if n, ok := <-done; ok && n != 1 {
		t.Errorf("%d threads on one processor", n)
	}
}

// TestQuota: a control group with a quota of one processor makes one thread.
func TestQuota(t *testing.T) {
	group := quotaGroup(t)
	n := threadsOf(t, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	})
	if n != 1 {
		t.Errorf("%d threads in a group with the quota of one processor", n)
	}
}

// quotaGroup makes a control group with the quota of one processor inside our own, of version 2 or 1.
func quotaGroup(t *testing.T) string {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(own)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		root, files := "/sys/fs/cgroup", map[string]string{"cpu.max": "100000 100000"}
		if f[1] == "cpu" || strings.HasPrefix(f[1], "cpu,") {
			root, files = "/sys/fs/cgroup/cpu", map[string]string{"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"}
		} else if f[1] != "" {
			continue
		}
		parent := filepath.Join(root, f[2])
		if _, err := os.Stat(filepath.Join(parent, "cgroup.procs")); err != nil {
			continue
		}
		group := filepath.Join(parent, fmt.Sprintf("aquifer-test-%d", os.Getpid()))
		if err := os.Mkdir(group, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(group) })
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(group, name), []byte(text), 0); err != nil {
				t.Skipf("no quota can be set: %v", err)
			}
		}
		return group
	}
	t.Skip("no control group can be made here")
	return ""
}
