package cpu

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// physicalCores counts the cores behind the processors of our affinity mask; 0 if unknown.
func physicalCores() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0
	}
	return countCores(&set, os.ReadFile)
}

func countCores(set *unix.CPUSet, read func(string) ([]byte, error)) int {
	cores := map[string]bool{}
	for cpu, left := 0, set.Count(); left > 0 && cpu < 64*len(set); cpu++ {
		if !set.IsSet(cpu) {
			continue
		}
		left--
		siblings, err := read(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu))
		if err != nil {
			return 0
		}
		cores[strings.TrimSpace(string(siblings))] = true
	}
	return len(cores)
}

// cpuQuota returns the processors that our control group may use, 0 for no limit.
func cpuQuota() float64 {
	group, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	return readQuota(string(group), os.ReadFile)
}

// readQuota understands cgroup v2 (cpu.max, the tightest of our group and its parents) and v1 (cfs_quota_us).
func readQuota(groups string, read func(string) ([]byte, error)) float64 {
	tightest := 0.0
	note := func(quota, period string) {
		q, errQ := strconv.ParseFloat(quota, 64)
		p, errP := strconv.ParseFloat(period, 64)
		if errQ == nil && errP == nil && q > 0 && p > 0 && (tightest == 0 || q/p < tightest) {
			tightest = q / p
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(groups), "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 {
			continue
		}
		for dir := path.Clean("/" + f[2]); ; dir = path.Dir(dir) {
			switch {
			case f[1] == "": // v2
				if data, err := read(path.Join("/sys/fs/cgroup", dir, "cpu.max")); err == nil {
					if v := strings.Fields(string(data)); len(v) == 2 {
						note(v[0], v[1])
					}
				}
			case strings.Contains(","+f[1]+",", ",cpu,"): // v1
				base := path.Join("/sys/fs/cgroup/cpu", dir)
				quota, errQ := read(path.Join(base, "cpu.cfs_quota_us"))
				period, errP := read(path.Join(base, "cpu.cfs_period_us"))
				if errQ == nil && errP == nil {
					note(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
				}
			}
			if dir == "/" {
				break
			}
		}
	}
	return tightest
}
