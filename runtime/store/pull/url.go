package pull

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"aquifer/runtime/store"
	"aquifer/runtime/store/hub"
)

// URLName is where the store keeps a GGUF file from a URL: as a model HOST/NAME, with a revision for each URL.
type URLName struct {
	Repo     store.Repo
	Revision string
	File     string
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._]+`)

// NameOf says where the store keeps the file at a URL.
func NameOf(u *url.URL) (URLName, error) {
	file := path.Base(u.Path)
	if !strings.HasSuffix(file, ".gguf") {
		return URLName{}, fmt.Errorf("%s does not end in .gguf; a URL must be that of a GGUF file", u.Redacted())
	}
	if err := store.CheckPath(file); err != nil {
		return URLName{}, err
	}
	clean := func(s string) string { return strings.Trim(notInNames.ReplaceAllString(s, "-"), "-.") }
	r, err := store.ParseRepo(clean(u.Host) + "/" + clean(strings.TrimSuffix(file, ".gguf")))
	if err != nil {
		return URLName{}, err
	}
	// Signatures and the like are no part of what is fetched.
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return URLName{r, "url-" + digestOf(plain.String())[:16], file}, nil
}

func digestOf(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:])
}

// URL brings a single GGUF file into the store. Nothing says what its content should be, so it is the server's word for
// which version it is that keeps parts of two from being mixed.
func (p *Puller) URL(ctx context.Context, u *url.URL) (m store.Snapshot, err error) {
	name, err := NameOf(u)
	if err != nil {
		return m, err
	}
	use, err := p.Store.Use(ctx, name.Repo)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, use.Release()) }()
	for how := inParts; ; how++ {
		m, err = p.fetchURL(ctx, u, name, how)
		if !errors.Is(err, hub.ErrWhole) || how+1 == ways {
			return m, err
		}
	}
}

func (p *Puller) fetchURL(ctx context.Context, u *url.URL, name URLName, how way) (m store.Snapshot, err error) {
	j := p.newJob(name.Repo)
	var src *hub.Source
	if err := j.ask(ctx, func() (err error) { src, err = p.Hub.URL(ctx, u); return err }); err != nil {
		return m, err
	}
	version, size := src.Version(), fmt.Sprint(src.Size)
	key, err := store.ParseDigest(digestOf(name.Revision, version, size))
	if err != nil {
		return m, err
	}
	if j.commit, err = store.ParseCommit(digestOf(name.Revision, version, size)[:40]); err != nil {
		return m, err
	}
	if known, err := p.Store.Find(name.Repo, j.commit.String()); err == nil && known.Broken == "" && version != "" {
		return known, nil
	}
	f := store.File{Path: name.File, Digest: key, Size: src.Size}
	if err := j.measure([]store.File{f}); err != nil {
		return m, err
	}
	part, err := p.Store.BeginAny(ctx, name.Repo, key, src.Size, j.waiting(f))
	if err == nil && version == "" && part.Have() > 0 {
		if err = part.Drop(); err == nil {
			part, err = p.Store.BeginAny(ctx, name.Repo, key, src.Size, j.waiting(f))
		}
	}
	if err != nil {
		return m, err
	}
	t := &transfer{job: j, part: part, src: src, atOnce: how == atOnce}
	if f.Digest, err = t.run(ctx, name.File); err != nil {
		return m, fmt.Errorf("%s: %w", name.File, err)
	}
	source := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	for _, revision := range []string{name.Revision, store.MainRevision} {
		err := p.Store.Publish(ctx, name.Repo, store.Manifest{
			Commit: j.commit, Revision: revision, Source: source, Files: []store.File{f},
		})
		if err != nil {
			return m, err
		}
	}
	return p.Store.Find(name.Repo, j.commit.String())
}
