package sched

// RoundRobin runs entities in the order in which they became runnable. Push and
// Pop are constant time; Remove is linear.
type RoundRobin struct {
	head, tail *Entity
	n          int
}

// Name returns "round_robin".
func (q *RoundRobin) Name() string { return "round_robin" }

// Push appends e.
func (q *RoundRobin) Push(e *Entity) {
	e.next = nil
	if q.tail == nil {
		q.head = e
	} else {
		q.tail.next = e
	}
	q.tail = e
	q.n++
}

// Pop takes the first entity.
func (q *RoundRobin) Pop() *Entity {
	e := q.head
	if e == nil {
		return nil
	}
	q.head = e.next
	if q.head == nil {
		q.tail = nil
	}
	e.next = nil
	q.n--
	return e
}

// Remove unlinks e.
func (q *RoundRobin) Remove(e *Entity) bool {
	var prev *Entity
	for at := q.head; at != nil; prev, at = at, at.next {
		if at != e {
			continue
		}
		if prev == nil {
			q.head = at.next
		} else {
			prev.next = at.next
		}
		if q.tail == at {
			q.tail = prev
		}
		e.next = nil
		q.n--
		return true
	}
	return false
}

// Len returns how many entities are queued.
func (q *RoundRobin) Len() int { return q.n }
