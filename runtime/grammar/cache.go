package grammar

// cache keeps what was used last, within a number of bytes. It is not safe for concurrent use.
type cache[K comparable, V any] struct {
	limit, used int
	entries     map[K]*cached[K, V]
	ring        cached[K, V] // sentinel; ring.next was used last, ring.prev longest ago
}

type cached[K comparable, V any] struct {
	key        K
	v          V
	size       int
	prev, next *cached[K, V]
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	c := &cache[K, V]{limit: limit, entries: map[K]*cached[K, V]{}}
	c.ring.prev, c.ring.next = &c.ring, &c.ring
	return c
}

func (c *cache[K, V]) get(key K) (v V, ok bool) {
	e := c.entries[key]
	if e == nil {
		return v, false
	}
	c.unlink(e)
	c.front(e)
	return e.v, true
}

// put adds an entry of the given size in bytes and drops others until all fit. One that is larger than the whole
// cache is not kept.
func (c *cache[K, V]) put(key K, v V, size int) {
	if old := c.entries[key]; old != nil {
		c.drop(old)
	}
	if size > c.limit {
		return
	}
	for c.used+size > c.limit {
		c.drop(c.ring.prev)
	}
	e := &cached[K, V]{key: key, v: v, size: size}
	c.entries[key] = e
	c.used += size
	c.front(e)
}

func (c *cache[K, V]) drop(e *cached[K, V]) {
	c.unlink(e)
	delete(c.entries, e.key)
	c.used -= e.size
}

func (c *cache[K, V]) unlink(e *cached[K, V]) { e.prev.next, e.next.prev = e.next, e.prev }

func (c *cache[K, V]) front(e *cached[K, V]) {
	e.prev, e.next = &c.ring, c.ring.next
	e.next.prev, c.ring.next = e, e
}
