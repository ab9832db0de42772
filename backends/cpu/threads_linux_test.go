package cpu

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// files answers reads from a map.
func files(m map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if text, ok := m[name]; ok {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}
}

func TestCountCores(t *testing.T) {
	siblings := map[string]string{}
	for cpu, list := range []string{"0,4\n", "1,5\n", "2,6\n", "3,7\n", "0,4\n", "1,5\n", "2,6\n", "3,7\n"} {
		siblings[fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu)] = list
	}
	for _, c := range []struct {
		cpus []int
		want int
	}{
		{[]int{0, 1, 2, 3, 4, 5, 6, 7}, 4},
		{[]int{0, 4}, 1},
		{[]int{1, 2, 6}, 2},
		{[]int{3}, 1},
		{[]int{3, 9}, 0}, // a processor nothing is known of
	} {
		var set unix.CPUSet
		for _, cpu := range c.cpus {
			set.Set(cpu)
		}
		if got := countCores(&set, files(siblings)); got != c.want {
			t.Errorf("processors %v: %d cores, want %d", c.cpus, got, c.want)
		}
	}
}

func TestReadQuota(t *testing.T) {
	for _, c := range []struct {
		name, groups string
		files        map[string]string
		want         float64
	}{
		{"v2", "0::/a/b\n", map[string]string{"/sys/fs/cgroup/a/b/cpu.max": "250000 100000\n"}, 2.5},
		{"v2 no limit", "0::/a\n", map[string]string{"/sys/fs/cgroup/a/cpu.max": "max 100000\n"}, 0},
		{"v2 parent is tighter", "0::/a/b\n", map[string]string{
			"/sys/fs/cgroup/a/b/cpu.max": "400000 100000\n", "/sys/fs/cgroup/a/cpu.max": "150000 100000\n",
		}, 1.5},
		{"v2 namespace root", "0::/\n", map[string]string{"/sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1},
		{"v1", "4:cpu,cpuacct:/x\n0::/y\n", map[string]string{
			"/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "300000\n", "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
		}, 3},
		{"v1 no limit", "4:cpu:/\n", map[string]string{
			"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, 0},
		{"garbage", "x\n0::/a\n", map[string]string{"/sys/fs/cgroup/a/cpu.max": "what\n"}, 0},
		{"empty", "", nil, 0},
	} {
		if got := readQuota(c.groups, files(c.files)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestDefaultThreads(t *testing.T) {
	if n := DefaultThreads(); n < 1 || n > 1024 {
		t.Errorf("%d threads", n)
	}
}
