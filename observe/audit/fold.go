package audit

import "time"

// key is what makes two denials equal.
type key struct {
	syscall, layer, code, rule, requested, canonical string
}

// fold is one kind of denial.
type fold struct {
	n           uint64 // the record of its first, 0 if that is not written yet
	count       uint64
	said        uint64 // the count that was last written
	first, last time.Time
	held        *Record // the first, while it waits in memory
}

// due reports whether the count is to be written again: at each power of ten, so that
// what a crash loses is a part of the count and never the denial.
func (f *fold) due() bool { return f.count >= 10*max(f.said, 1) }

// Deny counts a denial. The first of a kind becomes a record at once: n is its number,
// and the caller should let the guest go on only once it is written. fresh says that it
// is unlike those before, so that it cost something.
//
// A quiet one is recorded a moment later and n is 0: it is of what the guest may not
// know, and must not tell it by how long it takes.
func (l *Log) Deny(r Record, quiet bool) (n uint64, fresh bool) {
	k := key{r.Syscall, r.Layer, r.Code, r.Rule, r.Requested, r.Canonical}
	at := now()
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.folds[k]
	if f == nil {
		fresh = true
		size := len(r.Rule) + len(r.Requested) + len(r.Canonical) + len(r.Grant)
		if len(l.folds) == maxFolds || l.text+size > maxText {
			f = &l.unlisted
			if f.count == 0 {
				f.first = at
				f.held = &Record{Kind: KindUnlisted}
			}
		} else {
			f = &fold{first: at}
			l.text += size
			l.folds[k] = f
			l.order = append(l.order, f)
			r.Kind = KindDenial
			f.held = &r
		}
	}
	f.count++
	f.last = at
	if quiet {
		if (f.held != nil || f.due()) && l.timer == nil && !l.closed {
			l.timer = time.AfterFunc(quietDelay, l.flushQuiet)
		}
		return 0, fresh
	}
	if f.held != nil || f.due() {
		n = l.say(f)
		l.signal()
	}
	return n, fresh
}

// say writes how often a kind of denial came. The caller holds mu.
func (l *Log) say(f *fold) uint64 {
	r := f.held
	if r == nil {
		r = &Record{Kind: KindRepeated, Of: f.n}
		if f == &l.unlisted {
			r.Kind, r.Of = KindUnlisted, 0
		}
	}
	first, last := f.first, f.last
	r.Count, r.First, r.Last = f.count, &first, &last
	n := l.add(r)
	if f.held != nil {
		f.n, f.held = n, nil
	}
	f.said = f.count
	return n
}

// flush writes every count that is not what was written last. The caller holds mu.
func (l *Log) flush() {
	for _, f := range l.order {
		if f.held != nil || f.count != f.said {
			l.say(f)
		}
	}
	if f := &l.unlisted; f.count != f.said {
		l.say(f)
	}
}

// flushQuiet writes what waited in memory.
func (l *Log) flushQuiet() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = nil
	if l.closed {
		return
	}
	for _, f := range l.order {
		if f.held != nil || f.due() {
			l.say(f)
		}
	}
	if f := &l.unlisted; f.held != nil || f.due() {
		l.say(f)
	}
	l.signal()
}
