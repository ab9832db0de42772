//go:build unix

package vfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSpecialFiles: a pipe is refused at once, instead of blocking until somebody writes to it.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	try(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	d, err := OpenDir(dir, false)
	try(t, err)
	defer d.Close()
	start := time.Now()
	for _, mode := range []Mode{Read, Edit} {
		if _, err := d.Open("pipe", mode); err == nil {
			t.Error("a pipe was opened")
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestLockBetweenProcesses: the lock is the one that other programs see, and a process that is killed gives it back.
func TestLockBetweenProcesses(t *testing.T) {
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Skipf("no program flock: %v", err)
	}
	dir := t.TempDir()
	d, err := OpenDir(dir, false)
	try(t, err)
	defer d.Close()
	f, err := d.Open("lock", Edit)
	try(t, err)
	try(t, f.TryLock(true))
	path := filepath.Join(dir, "lock")
	if err := exec.Command(flock, "-n", path, "true").Run(); err == nil {
		t.Error("another process got our lock")
	}
	try(t, f.Close())
	holder := exec.Command(flock, path, "sh", "-c", "echo; exec sleep 60")
	out, err := holder.StdoutPipe()
	try(t, err)
	holder.Stderr = os.Stderr
	holder.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	try(t, holder.Start())
	_, err = out.Read(make([]byte, 1))
	try(t, err)
	f, err = d.Open("lock", Edit)
	try(t, err)
	defer f.Close()
	wantErr(t, "locked elsewhere", f.TryLock(true), ErrLocked)
	try(t, unix.Kill(-holder.Process.Pid, unix.SIGKILL))
	holder.Wait()
	err = f.TryLock(true)
	for deadline := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(deadline); err = f.TryLock(true) {
		time.Sleep(10 * time.Millisecond) // its child dies a moment later
	}
	try(t, err)
}

// TestPrivateDir: what is made in it is for its owner alone, and a folder that others can write to is refused.
func TestPrivateDir(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a", "b")
	d, err := OpenPrivateDir(name)
	try(t, err)
	defer d.Close()
	f, err := d.Open("file", New)
	try(t, err)
	try(t, f.Close())
	try(t, d.Mkdir("folder"))
	for file, want := range map[string]os.FileMode{".": 0o700, "file": 0o600, "folder": 0o700} {
		info, err := os.Stat(filepath.Join(name, file))
		try(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", file, info.Mode().Perm(), want)
		}
	}
	for _, mode := range []os.FileMode{0o720, 0o702, 0o777} {
		try(t, os.Chmod(name, mode))
		if again, err := OpenPrivateDir(name); err == nil {
			again.Close()
			t.Errorf("a folder of mode %v was taken", mode)
		}
	}
	try(t, os.Chmod(name, 0o755))
	again, err := OpenPrivateDir(name)
	try(t, err)
	try(t, again.Close())
}
