package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChatCommands drives a chat through a terminal: settings, a system message, several lines, saving.
func TestChatCommands(t *testing.T) {
	data := t.TempDir()
	t.Setenv("XDG_DATA_HOME", data)
	model := tinyModel(t, true)
	s, cmd := start(t, "run", model, "--seed", "1", "--temperature", "1", "--max-tokens", "20")
	say := func(line string, want ...string) {
		t.Helper()
		s.expect(">>> ")
		s.send(line + "\r")
		for _, text := range want {
			s.expect(text)
		}
	}
	say("/set", "max-tokens", "20", "temperature", "1", "seed", "stats", "false")
	say("/set stats true")
	say("/set temperature 3", "temperature is 3, must be 0 to 2")
	say("/set temperature hot", "temperature is hot, must be 0 to 2")
	say("/set nowordwrap")
	say("/set", "no-wordwrap", "true")
	say("/set wordwrap")
	say("/set", "no-wordwrap", "false")
	say("/set mood good", "nothing is called mood")
	say("/set seed", "seed to what?")
	say("/set seed -1", "is -1, must be from 0")
	say("/set max-tokens 5")
	say("/set temperature 0")
	say("/save x/../y", "can't be the name of a conversation")
	say("/save", "/save wants NAME")
	say("/load", "nothing is saved yet")
	say("/load none", "none can't be read")
	say("hello", "seed 1")
	plain := promptTokens(t, s)
	say("/clear now", "/clear takes nothing behind it")
	say("/clear", "starts anew")
	say("/system", "there is no system message")
	say("/system Answer in verse.")
	say("/system", "Answer in verse.")
	say("hello", "answer 5 tokens", "seed 1")
	withSystem := promptTokens(t, s)
	if withSystem <= plain {
		t.Errorf("with a system message the prompt has %d tokens, without %d", withSystem, plain)
	}
	say("/save first", "saved 2 messages as first")
	say(`/system ""`, "counts from the next answer on")
	say("/clear", "starts anew")
	say("hello", "seed 1")
	if again := promptTokens(t, s); again != plain {
		t.Errorf("without the system message again: %d tokens, before %d", again, plain)
	}
	say("/nonsense", "no command /nonsense")
	say(`"""one`, "... ")
	s.send("two\r")
	s.expect("... ")
	s.send("three\"\"\"\r")
	s.expect("seed 1")
	several := promptTokens(t, s)
	say(`"""one`, "... ")
	s.send("\x03") // leaves the message, not the chat
	s.expect("Ctrl-C again")
	say("/bye")
	if code := exitCode(t, cmd); code != exitOK {
		t.Errorf("exit %d", code)
	}

	// Another chat takes it up, with what was set.
	s, cmd = start(t, "run", model, "--seed", "9", "--temperature", "1")
	say("/load", "saved: first")
	say("/load first", "2 messages of first are here again")
	say("/system", "Answer in verse.")
	say("one more", "answer 5 tokens")
	if next := promptTokens(t, s); next <= withSystem {
		t.Errorf("the next turn has %d tokens, the one before %d", next, withSystem)
	}
	s.expect(">>> ")
	s.send("\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A") // beyond this chat: the last line of the one before
	s.expect("/bye")
	s.send("\r")
	if code := exitCode(t, cmd); code != exitOK {
		t.Errorf("exit %d", code)
	}
	if several <= plain {
		t.Errorf("a message of three lines gives %d tokens, one of one %d", several, plain)
	}

	for name, want := range map[string]os.FileMode{"aquifer": 0o700, "aquifer/history": 0o600, "aquifer/chats/first.json": 0o600} {
		info, err := os.Stat(filepath.Join(data, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	history, err := os.ReadFile(filepath.Join(data, "aquifer", "history"))
	if err != nil || !strings.Contains(string(history), "\nhello\n") || !strings.Contains(string(history), "/load first\n") {
		t.Errorf("%v: %s", err, history)
	}
	s, cmd = start(t, "run", model, "--no-history")
	say("not for the file", ">>> ")
	s.send("\x04")
	if code := exitCode(t, cmd); code != exitOK {
		t.Errorf("exit %d", code)
	}
	after, err := os.ReadFile(filepath.Join(data, "aquifer", "history"))
	if err != nil || string(after) != string(history) {
		t.Errorf("--no-history: %v\n%s", err, after)
	}
}

// TestChatPrefixCache: a conversation that is taken up again does not run what was said before.
func TestChatPrefixCache(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("AQUIFER_PREFIX_CACHE", t.TempDir())
	model := tinyModel(t, true)
	chat := func(lines ...string) (text string) {
		t.Helper()
		s, cmd := start(t, "run", model, "--temperature", "0", "--max-tokens", "9", "--stats")
		for _, line := range append(lines, "/bye") {
			s.expect(">>> ")
			s.send(line + "\r")
		}
		if code := exitCode(t, cmd); code != exitOK {
			t.Errorf("exit %d", code)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.text.String()
	}
	long := strings.Repeat("tell me a story ", 20)
	if text := chat(long, "/save first"); strings.Contains(text, "cached") {
		t.Errorf("the first chat finds something: %s", text)
	}
	if text := chat("/load first", "and then?"); !strings.Contains(text, "restored 3") || !strings.Contains(text, "of them cached") {
		t.Errorf("nothing is found of the first chat: %s", text)
	}
}
