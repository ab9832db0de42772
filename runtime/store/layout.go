package store

import "path"

// The paths inside the cache. Nothing else builds one.

// blobPath is where a file's content is.
func blobPath(r Repo, d Digest) string { return path.Join(r.dir(), "blobs", d.hex) }

// Suffixes of the two files that a file is fetched into. Other tools count what ends in .incomplete as left over.
const (
	partialSuffix = ".aquifer.incomplete"
	journalSuffix = ".aquifer.journal"
)

func partialPath(r Repo, d Digest) string { return blobPath(r, d) + partialSuffix }
func journalPath(r Repo, d Digest) string { return blobPath(r, d) + journalSuffix }

func snapshotPath(r Repo, c Commit) string { return path.Join(r.dir(), "snapshots", c.hex) }

// filePath is where a file of a snapshot is; name has passed CheckPath.
func filePath(r Repo, c Commit, name string) string { return path.Join(snapshotPath(r, c), name) }

// refPath is where a branch or tag is; revision has passed CheckRevision.
func refPath(r Repo, revision string) string { return path.Join(r.dir(), "refs", revision) }

func manifestPath(r Repo, c Commit) string { return path.Join(r.dir(), "aquifer", c.hex+".json") }

const locksDir = ".locks"

// useLockPath is shared by those who use or pull a model and taken alone by those who remove from it.
func useLockPath(r Repo) string { return path.Join(locksDir, r.dir(), "aquifer.lock") }

// publishLockPath is taken for the moment in which a snapshot is linked.
func publishLockPath(r Repo) string { return path.Join(locksDir, r.dir(), "aquifer-publish.lock") }

// blobLockPath is taken by the tool, ours or another, that fetches a file.
func blobLockPath(r Repo, d Digest) string { return path.Join(locksDir, r.dir(), d.hex+".lock") }
