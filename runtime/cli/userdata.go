package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"aquifer/runtime/store"
)

// userData is the folder of what a user has said: saved conversations and the lines of chats. Nobody else may read it.
type userData struct{ root *os.Root }

// userDataDir is where it is, by the rules of the system.
func userDataDir() (string, error) {
	dir := environment("XDG_DATA_HOME")
	if dir == "" && (runtime.GOOS == "windows" || runtime.GOOS == "darwin") {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return "", err
		}
	}
	if dir == "" {
		var err error
		if dir, err = expandHome("~/.local/share"); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "aquifer"), nil
}

// openUserData opens the folder, and makes it if it is not there.
func openUserData() (*userData, error) {
	dir, err := userDataDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, advise(err, "set XDG_DATA_HOME to a folder that can be written to")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &userData{root}, nil
}

func (d *userData) close() error {
	if d == nil {
		return nil
	}
	return d.root.Close()
}

// read returns the content of a file of at most limit bytes.
func (d *userData) read(name string, limit int64) (string, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readText(f, limit)
}

// write gives a file its content, all of it or none.
func (d *userData) write(name string, content []byte) (err error) {
	if err := d.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	temporary := name + ".tmp"
	f, err := d.root.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.root.Rename(temporary, name)
	}
	return err
}

// add puts a line at the end of a file.
func (d *userData) add(name, line string) error {
	f, err := d.root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, line+"\n")
	return errors.Join(err, f.Close())
}

// Saved conversations.
const (
	chatFolder = "chats"
	chatSuffix = ".json"
	maxChat    = 32 << 20
)

// chatFile is the file of a conversation, for names that every system allows.
func chatFile(name string) (string, error) {
	if strings.ContainsAny(name, "/ ") || store.CheckPath(name+chatSuffix) != nil {
		return "", fmt.Errorf("%.60q can't be the name of a conversation: use letters, digits, dots, - and _", name)
	}
	return chatFolder + "/" + name + chatSuffix, nil
}

// chats lists the names of the saved conversations, sorted.
func (d *userData) chats() ([]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), chatFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), chatSuffix)
		if _, bad := chatFile(name); ok && bad == nil && e.Type().IsRegular() {
			names = append(names, name)
		}
	}
	return names, err
}

// The lines of earlier chats, oldest first.
const (
	historyFile = "history"
	maxHistory  = 1000
	maxLines    = 16 << 20 // bytes of the file
)

// history returns them, and cuts the file when it has become long.
func (d *userData) history() ([]string, error) {
	text, err := d.read(historyFile, maxLines)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	if len(lines) <= maxHistory {
		return lines, nil
	}
	all := len(lines)
	lines = lines[all-maxHistory:]
	if all > 2*maxHistory {
		err = d.write(historyFile, []byte(strings.Join(lines, "\n")+"\n"))
	}
	return lines, err
}
