package main

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Places knows how far each partition is done: attempts end in any order, but what is committed must never pass one
// that has not ended.
type Places struct {
	lock  sync.Mutex
	queue map[int32][]*place
}

type place struct {
	record *kgo.Record
	done   bool
}

// Take notes a record that was read.
func (p *Places) Take(record *kgo.Record) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.queue[record.Partition] = append(p.queue[record.Partition], &place{record: record})
}

// Finish notes that a record is done with; it gives the last record up to which all are, or nil.
func (p *Places) Finish(record *kgo.Record) *kgo.Record {
	p.lock.Lock()
	defer p.lock.Unlock()
	queue := p.queue[record.Partition]
	var last *kgo.Record
	for _, each := range queue {
		if each.record == record {
			each.done = true
		}
	}
	for len(queue) > 0 && queue[0].done {
		last, queue = queue[0].record, queue[1:]
	}
	p.queue[record.Partition] = queue
	return last
}

// Forget drops partitions that another process reads now.
func (p *Places) Forget(partitions []int32) {
	p.lock.Lock()
	defer p.lock.Unlock()
	for _, partition := range partitions {
		delete(p.queue, partition)
	}
}
