package engine

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// memoryAvailable returns how many bytes the process may still take without swapping or being killed, 0 where the
// system does not say: the least of what the kernel calls available, what the control groups of the process leave and
// what its address-space limit leaves. root is the root of the file system.
func memoryAvailable(root fs.FS) int64 {
	n := kilobytes(root, "proc/meminfo", "MemAvailable:")
	for _, room := range append(cgroupRoom(root), addressRoom(root)...) {
		if n == 0 || room < n {
			n = max(room, 1) // 0 would mean unknown
		}
	}
	return n
}

// Spare returns how many bytes this process may still take besides those that were promised to models in it; 0 where the
// system does not say.
func Spare(promised int64) int64 {
	root := os.DirFS("/")
	available := memoryAvailable(root)
	if available == 0 {
		return 0
	}
	return max(available-untouched(root, promised), 1)
}

// untouched returns how much of the bytes that the process was promised for models it has not touched yet. The system
// still counts that as available.
func untouched(root fs.FS, promised int64) int64 {
	return max(promised-kilobytes(root, "proc/self/status", "VmRSS:"), 0)
}

// kilobytes returns a line of the form "KEY 123 kB" of a file, in bytes; 0 if there is none.
func kilobytes(root fs.FS, file, key string) int64 {
	data, _ := fs.ReadFile(root, file)
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == key && f[2] == "kB" {
			n, err := strconv.ParseInt(f[1], 10, 53)
			if err != nil || n < 0 {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

// addressReserve is the address space left to thread stacks and to Go's heap, which the Go runtime cannot do without:
// where it can't start a thread it ends the process.
const addressReserve = 512 << 20

// addressRoom returns what the limit on the address space (ulimit -v) leaves, if there is one.
func addressRoom(root fs.FS) []int64 {
	data, _ := fs.ReadFile(root, "proc/self/limits")
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "Max address space"); ok {
			f := strings.Fields(rest) // soft limit, hard limit, unit
			if len(f) == 0 {
				return nil
			}
			limit, err := strconv.ParseInt(f[0], 10, 64)
			if err != nil { // "unlimited"
				return nil
			}
			return []int64{max(limit-kilobytes(root, "proc/self/status", "VmSize:")-addressReserve, 0)}
		}
	}
	return nil
}

// cgroupRoom returns what each limited control group above the process leaves. Cached file pages don't count as used:
// the kernel drops them before it kills.
func cgroupRoom(root fs.FS) []int64 {
	data, _ := fs.ReadFile(root, "proc/self/cgroup")
	var rooms []int64
	s := bufio.NewScanner(bytes.NewReader(data))
	for s.Scan() {
		// "4:memory:/path" (version 1) or "0::/path" (version 2).
		f := strings.SplitN(s.Text(), ":", 3)
		if len(f) != 3 {
			continue
		}
		mount, limit, usage, prefix := "sys/fs/cgroup", "memory.max", "memory.current", ""
		if f[1] != "" {
			if !strings.Contains(","+f[1]+",", ",memory,") {
				continue
			}
			mount, limit, usage, prefix = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
		}
		// In a container the path may be the host's and not exist; the mount itself is the container's group then.
		for dir := path.Clean("/" + f[2]); ; dir = path.Dir(dir) {
			at := path.Join(mount, dir)
			most, ok1 := number(root, path.Join(at, limit))
			used, ok2 := number(root, path.Join(at, usage))
			// Version 1 writes "no limit" as a number near the largest.
			if ok1 && ok2 && most < 1<<60 {
				used -= stat(root, path.Join(at, "memory.stat"), prefix+"inactive_file", prefix+"active_file")
				rooms = append(rooms, max(most-max(used, 0), 0))
			}
			if dir == "/" {
				break
			}
		}
	}
	return rooms
}

// number returns the number that is all of a file; false for "max".
func number(root fs.FS, file string) (int64, bool) {
	data, err := fs.ReadFile(root, file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	return n, err == nil && n >= 0
}

// stat returns the sum of the given "KEY 123" lines of a file.
func stat(root fs.FS, file string, keys ...string) int64 {
	data, _ := fs.ReadFile(root, file)
	var sum int64
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		for _, key := range keys {
			if len(f) == 2 && f[0] == key {
				if n, err := strconv.ParseInt(f[1], 10, 62); err == nil && n > 0 {
					sum += min(n, 1<<60)
				}
			}
		}
	}
	return sum
}
