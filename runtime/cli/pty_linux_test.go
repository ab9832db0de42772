package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openPty returns the two ends of a pseudo terminal of 80 columns.
func openPty(t testing.TB) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// screen collects what a program writes to a terminal.
type screen struct {
	t      testing.TB
	master *os.File
	mu     sync.Mutex
	text   bytes.Buffer
	seen   int // bytes that expect has consumed
}

func watch(t testing.TB, master *os.File) *screen {
	s := &screen{t: t, master: master}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *screen) send(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.master, keys); err != nil {
		s.t.Fatal(err)
	}
}

// after returns everything since the last expect.
func (s *screen) after() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text.Bytes()[s.seen:])
}

// expect waits until text appears behind what was expected before.
func (s *screen) expect(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if i := strings.Index(s.after(), text); i >= 0 {
			s.mu.Lock()
			s.seen += i + len(text)
			s.mu.Unlock()
			return
		}
	}
	s.t.Fatalf("%q does not appear; on the screen since then: %q", text, s.after())
}

func TestEditor(t *testing.T) {
	master, slave := openPty(t)
	s := watch(t, master)
	e := newEditor(slave, slave)
	for _, test := range []struct {
		name, keys, want string
		err              error
	}{
		{"a line", "hello\r", "hello", nil},
		{"editing", "wrld\x1b[D\x1b[D\x1b[Do\r", "world", nil},
		{"backspace", "helloo\x7f\r", "hello", nil},
		{"history", "\x1b[A\x1b[A\r", "world", nil},
		{"history, back again", "\x1b[A\x1b[A\x1b[B!\r", "world!", nil},
		{"another script", "日本 ✓\r", "日本 ✓", nil},
		{"pasted lines", "\x1b[200~line 1\rline 2\x1b[201~ end\r", "line 1\nline 2 end", nil},
		{"control-C", "half a line\x03", "", errCtrlC},
		{"nothing of it stays", "x\r", "x", nil},
		{"control-D in a line deletes", "ab\x1b[D\x04\r", "a", nil},
		{"control-D", "\x04", "", io.EOF},
	} {
		type result struct {
			text string
			err  error
		}
		done := make(chan result, 1)
		go func() {
			text, err := e.read(t.Context(), ">>> ")
			done <- result{text, err}
		}()
		s.expect(">>> ") // only now is the terminal in raw mode
		s.send(test.keys)
		var got result
		select {
		case got = <-done:
		case <-time.After(time.Minute):
			t.Fatalf("%s: nothing was read", test.name)
		}
		if got.text != test.want || !errors.Is(got.err, test.err) {
			t.Errorf("%s: %q, %v; want %q, %v", test.name, got.text, got.err, test.want, test.err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := e.read(ctx, ">>> "); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestProgressBar(t *testing.T) {
	master, slave := openPty(t)
	s := watch(t, master)
	p := newProgress(slave, "loading", false)
	p.set(10<<20, 100<<20)
	if text := s.after(); text != "" {
		t.Errorf("a bar from the start: %q", text)
	}
	time.Sleep(showAfter)
	p.set(50<<20, 100<<20)
	s.expect("loading")
	s.expect("50 MiB / 100 MiB")
	p.end()

	newProgress(slave, "loading", false).end() // one that never came to a bar
}

// start runs aquifer as the foreground process of a terminal.
func start(t *testing.T, args ...string) (*screen, *exec.Cmd) {
	t.Helper()
	master, slave := openPty(t)
	cmd := process(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return watch(t, master), cmd
}

func TestChat(t *testing.T) {
	s, cmd := start(t, "run", tinyModel(t, true), "--seed", "1", "--temperature", "1", "--max-tokens", "40", "--stats")
	s.expect("tiny-1x8g8, 1x8g8")
	s.expect("Ctrl-D leaves")
	s.expect(">>> ")
	s.send("/help\r")
	s.expect("/system [TEXT]")
	s.expect("/clear")
	s.expect(">>> ")
	s.send("hello\r")
	s.expect("seed 1")
	first := promptTokens(t, s)
	s.expect(">>> ")
	s.send("again\r")
	s.expect("seed 1")
	if second := promptTokens(t, s); second <= first {
		t.Errorf("the second prompt has %d tokens, the first %d: the conversation is not kept", second, first)
	}
	s.expect(">>> ")
	s.send("/reset\r")
	s.expect("anew")
	s.expect(">>> ")
	s.send("hello\r")
	s.expect("seed 1")
	if third := promptTokens(t, s); third != first {
		t.Errorf("after /reset the prompt has %d tokens, at first it had %d", third, first)
	}
	s.expect(">>> ")
	s.send("/nonsense\r")
	s.expect("no command /nonsense")
	s.expect(">>> ")
	s.send("\x03")
	s.expect("again")
	s.expect(">>> ")
	s.send("\x03")
	if code := exitCode(t, cmd); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// promptTokens reads the number of prompt tokens from the last statistics on the screen.
func promptTokens(t *testing.T, s *screen) int {
	t.Helper()
	s.mu.Lock()
	text := s.text.String()
	s.mu.Unlock()
	i := strings.LastIndex(text, "aquifer: prompt ")
	var n int
	if i < 0 {
		t.Fatalf("no statistics in %q", text)
	}
	if _, err := fmt.Sscanf(text[i:], "aquifer: prompt %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestChatInterrupt(t *testing.T) {
	s, cmd := start(t, "run", tinyModel(t, false), "--context", "60000", "--temperature", "1", "--seed", "3")
	s.expect(">>> ")
	s.send("talk for ever\r")
	s.expect("\r\n")
	for deadline := time.Now().Add(time.Minute); len(s.after()) < 50; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no answer: %q", s.after())
		}
	}
	s.send("\x03")
	s.expect(">>> ") // the program is still there
	s.send("/exit\r")
	if code := exitCode(t, cmd); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestOneShotOnTerminal(t *testing.T) {
	s, cmd := start(t, "run", tinyModel(t, false), "--context", "60000", "--max-tokens", "0", "--temperature", "1", "--seed", "3", "talk for ever")
	s.expect("tiny-1x8g8, 1x8g8")
	s.expect("\r\n")
	for deadline := time.Now().Add(time.Minute); len(s.after()) < 200; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no answer: %q", s.after())
		}
	}
	s.send("\x03")
	if code := exitCode(t, cmd); code != exitInterrupt {
		t.Errorf("exit %d after Ctrl-C, want %d", code, exitInterrupt)
	}
	for _, r := range s.after() {
		if r < ' ' && r != '\n' && r != '\t' && r != '\r' { // the terminal adds \r to \n
			t.Errorf("a control character %U of the model reaches the terminal", r)
			break
		}
	}
}

func TestTerminated(t *testing.T) {
	s, cmd := start(t, "run", tinyModel(t, true))
	s.expect(">>> ")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, cmd); code != exitInterrupt {
		t.Errorf("exit %d, want %d", code, exitInterrupt)
	}
}

// TestAskToPull: on a terminal a model that is missing is fetched if the user says so, and the chat begins.
func TestAskToPull(t *testing.T) {
	hubWithTiny(t)
	s, cmd := start(t, "run", "ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf")
	s.expect("is not in the store. Pull it (ISTA-DASLab/gemma-2b-AQLM-2Bit-2x8-hf, 1.55 GB, licence gemma)? [Y/n] ")
	s.send("no\r")
	s.expect("nothing was fetched")
	if code := exitCode(t, cmd); code != exitFailure {
		t.Errorf("exit %d", code)
	}
	s, cmd = start(t, "run", "gemma:2b")
	s.expect("[Y/n] ")
	s.send("\x03")
	if code := exitCode(t, cmd); code != exitInterrupt {
		t.Errorf("exit %d after Ctrl-C", code)
	}
	s, cmd = start(t, "run", "gemma:2b", "-n", "5")
	s.expect("[Y/n] ")
	s.send("\r")
	s.expect("pulled gemma:2b: ")
	s.expect(">>> ")
	s.send("\x04")
	if code := exitCode(t, cmd); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if got := readLine(strings.NewReader("y")); got != "no" {
		t.Errorf("an answer without its end is %q", got)
	}
}
