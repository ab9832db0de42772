package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"

	"aquifer/runtime/vfs"
)

// Aliases are the user's own names for models. They are kept apart from the cache, which may be shared or deleted.
const (
	aliasFile = "aliases.json"
	aliasLock = "aliases.lock"
	maxAlias  = 64
)

const maxAliasFile = 1 << 20

var aliasName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*(:[a-z0-9._-]+)?$`)

// CheckAlias checks a name that a user gives to a model. It has no slash, which tells it from a name on the hub.
func CheckAlias(name string) error {
	if len(name) > maxAlias || !aliasName.MatchString(name) || reserved(name) {
		return fmt.Errorf("%.80q can't be the name of a model: use lower-case letters, digits, dots, - and _, and at most one colon", name)
	}
	return nil
}

type aliasJSON struct {
	Version int               `json:"version"`
	Aliases map[string]string `json:"aliases"` // to ORG/NAME, with @REVISION or /FILE behind it
}

// Aliases returns the user's names for models and what they stand for.
func (s *Store) Aliases() (map[string]string, error) {
	text, err := vfs.ReadFile(s.own, aliasFile, maxAliasFile)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	var in aliasJSON
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, fmt.Errorf("the names in %s can't be read (%w): repair or delete the file", filepath.Join(s.cfg.Own, aliasFile), err)
	}
	if in.Version != 1 {
		return nil, fmt.Errorf("%s has version %d, which is newer than this program", filepath.Join(s.cfg.Own, aliasFile), in.Version)
	}
	if in.Aliases == nil {
		in.Aliases = map[string]string{}
	}
	return in.Aliases, nil
}

// ChangeAliases changes the user's names as change does to the map, alone among the processes.
func (s *Store) ChangeAliases(ctx context.Context, change func(map[string]string) error) error {
	held, err := lock(ctx, s.own, aliasLock, true, nil)
	if err != nil {
		return err
	}
	aliases, err := s.Aliases()
	if err == nil {
		err = change(aliases)
	}
	var data []byte
	if err == nil {
		data, err = json.MarshalIndent(aliasJSON{1, aliases}, "", "  ")
	}
	if err == nil {
		err = vfs.WriteFile(s.own, aliasFile, temporary(aliasFile), append(data, '\n'))
	}
	return errors.Join(err, held.Release())
}
