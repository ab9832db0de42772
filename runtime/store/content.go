package store

import "aquifer/runtime/vfs"

// Content reads a file that was fetched, of at most limit bytes.
func (s *Store) Content(r Repo, d Digest, limit int64) ([]byte, error) {
	return vfs.ReadFile(s.hub, blobPath(r, d), limit)
}
