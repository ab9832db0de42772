package cli

import (
	"bytes"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"

	"aquifer/models/modeltest"
	"aquifer/runtime/store/hubtest"
)

// Sizes of the terminal that the tour is taken on.
const tourCols, tourRows = 100, 26

// tour is a terminal on which a new user works. What is on it is kept as text and as pictures.
type tour struct {
	t    *testing.T
	mu   sync.Mutex
	vt   vt10x.Terminal
	text bytes.Buffer // what docs/tour.md says
	dir  string       // of the pictures; empty keeps none
}

// clear begins a new picture.
func (d *tour) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.vt = vt10x.New(vt10x.WithSize(tourCols, tourRows))
}

func (d *tour) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.vt.Write(p)
}

// lines are what the terminal shows, without the empty ones at its end.
func (d *tour) lines() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.vt.Lock()
	defer d.vt.Unlock()
	var lines []string
	for y := range tourRows {
		var line strings.Builder
		for x := range tourCols {
			line.WriteRune(max(d.vt.Cell(x, y).Char, ' '))
		}
		lines = append(lines, strings.TrimRight(line.String(), " "))
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// begin shows a command as it is typed and runs it. What it prints goes to the terminal.
func (d *tour) begin(args ...string) (*exec.Cmd, *os.File, *sync.WaitGroup) {
	d.t.Helper()
	var words []string
	for _, a := range args {
		if strings.ContainsAny(a, " ?") {
			a = `"` + a + `"`
		}
		words = append(words, a)
	}
	fmt.Fprintf(d, "$ aquifer %s\r\n", strings.Join(words, " "))
	master, slave := openPty(d.t)
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: tourRows, Col: tourCols}); err != nil {
		d.t.Fatal(err)
	}
	cmd := process(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	slave.Close()
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			d.Write(buf[:n])
			if err != nil {
				return
			}
		}
	})
	return cmd, master, &reading
}

// do runs a command to its end.
func (d *tour) do(want int, args ...string) {
	d.t.Helper()
	cmd, _, reading := d.begin(args...)
	code := exitCode(d.t, cmd)
	reading.Wait()
	if code != want {
		d.t.Fatalf("aquifer %q: exit %d, want %d:\n%s", args, code, want, strings.Join(d.lines(), "\n"))
	}
}

// expect waits until the terminal shows a text.
func (d *tour) expect(text string) {
	d.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(strings.Join(d.lines(), "\n"), text) {
			return
		}
	}
	d.t.Fatalf("%q does not appear:\n%s", text, strings.Join(d.lines(), "\n"))
}

var testFolder = regexp.MustCompile(`no models in [^;]+`)

// picture keeps what the terminal shows.
func (d *tour) picture(name, title, words string) {
	d.t.Helper()
	lines := d.lines()
	for i, line := range lines { // the test's folder is another one each time
		lines[i] = testFolder.ReplaceAllString(line, "no models in ~/.cache/huggingface/hub")
	}
	fmt.Fprintf(&d.text, "\n## %s\n\n%s\n\n![%s](tour/%s.svg)\n\n```text\n%s\n```\n", title, words, title, name, strings.Join(lines, "\n"))
	if d.dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(d.dir, name+".svg"), svg(title, lines), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// svg draws lines as a window of a terminal.
func svg(title string, lines []string) []byte {
	const char, line, margin, head = 8.43, 19, 14, 30 // of a font of 14 pixels
	width, height := int(char*tourCols)+2*margin, head+len(lines)*line+2*margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" role="img" aria-label="%s">`+"\n", width, height, html.EscapeString(title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="8" fill="#16181d"/>`+"\n", width, height)
	for i, colour := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="17" r="5.5" fill="%s"/>`+"\n", 20+i*18, colour)
	}
	b.WriteString(`<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace" font-size="14" fill="#d6d9e0" xml:space="preserve">` + "\n")
	for i, text := range lines {
		fill := ""
		switch {
		case strings.HasPrefix(text, "$ "), strings.HasPrefix(text, ">>> "), strings.HasPrefix(text, "... "):
			fill = ` fill="#8bd5a0"`
		case strings.HasPrefix(text, "aquifer: "):
			fill = ` fill="#9aa3b5"`
		}
		if text != "" {
			fmt.Fprintf(&b, `<text x="%d" y="%d"%s textLength="%.1f" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n",
				margin, head+margin+i*line+14, fill, char*float64(len([]rune(text))), html.EscapeString(text))
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.Bytes()
}

// TestTour is what a new user does with a real model of two shards from a hub: pull, list, run, chat, serve, ps, rm. With
// -update it rewrites docs/tour.md and its pictures.
func TestTour(t *testing.T) {
	if testing.Short() {
		t.Skip("pulls and runs a real model; not in -short")
	}
	files := filesOf(t, filepath.Join(modeltest.SmolLM2(t), "smollm2-135m-instruct-aqlm-4x8g8"))
	h := hubtest.New(t)
	const repo = "example/SmolLM2-135M-Instruct-AQLM-4x8"
	h.Add(repo, "main", files)
	for _, name := range []string{"HF_HOME", "XDG_DATA_HOME"} {
		t.Setenv(name, t.TempDir())
	}
	t.Setenv("HF_ENDPOINT", h.URL)
	d := &tour{t: t}
	if *update {
		d.dir = filepath.Join("..", "..", "docs", "tour")
		if err := os.MkdirAll(d.dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.pullAndList(repo)
	d.runAndChat()
	d.serveAndRemove(repo)
	if *update && !t.Failed() {
		const head = "# A tour\n\nFrom a machine without models to an answer, on two cores. The hub is that of the tests, on loopback, with a real model of 113 MB;\n" +
			"`go test ./runtime/cli -run TestTour -update` takes the tour again.\n"
		if err := os.WriteFile(filepath.Join(d.dir, "..", "tour.md"), append([]byte(head), d.text.Bytes()...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *tour) pullAndList(repo string) {
	d.clear()
	d.do(exitOK, "list")
	cmd, _, reading := d.begin("pull", repo, "--bandwidth", "30")
	d.expect("MB/s")
	d.picture("pull", "Pull", "A pull that is interrupted goes on at the byte where it stopped. (Slowed down to 30 MB/s for the picture.)")
	if code := exitCode(d.t, cmd); code != exitOK {
		d.t.Fatalf("pull: exit %d: %s", code, d.lines())
	}
	reading.Wait()
	d.expect("pulled " + repo)
	d.clear()
	d.do(exitOK, "cp", repo, "smollm2")
	d.do(exitOK, "list")
	d.do(exitOK, "verify", "smollm2")
	d.do(exitOK, "run", "smollm2", "Why is the sky blue?", "--temperature", "0", "-n", "80", "--stats")
	d.expect("The sky is blue because of")
	d.picture("run", "Name it, look at it, ask it", "Other tools of Hugging Face find the model as well, in the same folder.")
}

func (d *tour) runAndChat() {
	d.clear()
	cmd, keys, reading := d.begin("run", "smollm2", "--seed", "7")
	say := func(line, want string) {
		d.t.Helper()
		deadline := time.Now().Add(time.Minute)
		for lines := d.lines(); len(lines) == 0 || lines[len(lines)-1] != ">>>"; lines = d.lines() {
			if time.Now().After(deadline) {
				d.t.Fatalf("no prompt:\n%s", strings.Join(lines, "\n"))
			}
			time.Sleep(5 * time.Millisecond)
		}
		if _, err := keys.WriteString(line + "\r"); err != nil {
			d.t.Fatal(err)
		}
		d.expect(want)
	}
	say("/set max-tokens 60", "max-tokens 60")
	say("/set temperature 0.2", "temperature 0.2")
	say("/system You are a friendly teacher.", "teacher.")
	say("What is a prime number?", "number?")
	say("/save primes", "saved 2 messages as primes")
	say("/bye", "/bye")
	if code := exitCode(d.t, cmd); code != exitOK {
		d.t.Fatalf("chat: exit %d", code)
	}
	reading.Wait()
	d.picture("chat", "Chat", "`/help` lists the commands; a saved conversation comes back with `/load primes`.")
}

func (d *tour) serveAndRemove(repo string) {
	base, server, _ := startServer(d.t)
	d.t.Setenv("AQUIFER_HOST", strings.TrimPrefix(base, "http://"))
	d.clear()
	d.do(exitOK, "ps")
	if code, a := askModel(d.t, base, "smollm2", ""); code != 200 {
		d.t.Fatalf("%d %+v", code, a)
	}
	d.do(exitOK, "ps")
	d.do(exitFailure, "rm", repo)
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	if code := exitCode(d.t, server); code != exitOK {
		d.t.Errorf("the server: exit %d", code)
	}
	d.do(exitOK, "rm", repo)
	d.do(exitOK, "list")
	d.expect("is in use by another aquifer")
	d.expect("no models in")
	d.picture("serve", "Serve, look, remove", "Beside this terminal `aquifer serve` runs. Nothing is loaded until a client names a model, as one does between the first `ps` and\n"+
		"the second. What the server has loaded can't be removed; after it has ended it can.")
}
