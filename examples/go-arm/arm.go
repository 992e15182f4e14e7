package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	keptResults  = 1000
	announceFrom = 100 * time.Millisecond // a shorter run is not worth an AttemptStarted
)

// Arm works on attempts, at most capability.MaxConcurrentTasks at once.
type Arm struct {
	client   *kgo.Client
	schemas  atomic.Pointer[Schemas]
	places   *Places
	id       string
	instance string
	slots    chan struct{}
	running  atomic.Int64
	held     atomic.Int64

	lock    sync.Mutex
	cancels map[string]context.CancelCauseFunc // attempts that are held
	done    map[string]Result                  // the last results, for attempts that come again
	order   []string
}

var errRevoked = fmt.Errorf("revoked")

func NewArm(client *kgo.Client, schemas *Schemas, places *Places, id, instance string) *Arm {
	arm := &Arm{
		client: client, places: places, id: id, instance: instance,
		slots:   make(chan struct{}, capability.MaxConcurrentTasks),
		cancels: map[string]context.CancelCauseFunc{}, done: map[string]Result{},
	}
	arm.schemas.Store(schemas)
	return arm
}

// take looks at one record of the assignment topic. It is marked, and so committed, when its result is in the log:
// until then it comes again after a crash.
func (a *Arm) take(ctx context.Context, record *kgo.Record) {
	a.places.Take(record)
	name, id, err := a.schemas.Load().Name(record.Value)
	if err != nil {
		// A schema that came later: read the topic again. What stays unknown is passed over.
		if fresh, again := ReadSchemas(ctx, a.client.OptValue(kgo.SeedBrokers).([]string)); again == nil {
			a.schemas.Store(fresh)
			name, id, err = fresh.Name(record.Value)
		}
	}
	switch {
	case err != nil:
		log.Printf("%s/%d@%d: %v", record.Topic, record.Partition, record.Offset, err)
	case name == nameAssignment:
		var given Assignment
		if err := a.schemas.Load().Decode(record.Value, id, &given); err == nil {
			a.hold(ctx, record, given)
			return
		}
	case name == nameRevoked:
		var gone Revoked
		if a.schemas.Load().Decode(record.Value, id, &gone) == nil {
			a.lock.Lock()
			if cancel, ok := a.cancels[gone.AttemptID]; ok {
				cancel(errRevoked)
			}
			a.lock.Unlock()
		}
	}
	a.finish(record)
}

// finish lets the offset pass, if all before it are done with, too.
func (a *Arm) finish(record *kgo.Record) {
	if last := a.places.Finish(record); last != nil {
		a.client.MarkCommitRecords(last)
	}
}

// hold works on an attempt beside the others; one that is held already, or was done, is not done twice.
func (a *Arm) hold(ctx context.Context, record *kgo.Record, given Assignment) {
	a.lock.Lock()
	_, holds := a.cancels[given.AttemptID]
	kept, known := a.done[given.AttemptID]
	if holds {
		a.lock.Unlock()
		a.finish(record) // the first one's place is kept until it ends
		return
	}
	attempt, cancel := context.WithCancelCause(ctx)
	a.cancels[given.AttemptID] = cancel
	a.lock.Unlock()
	a.held.Add(1)
	go func() {
		defer a.release(given.AttemptID, cancel)
		result := &kept
		if !known {
			result = a.attempt(attempt, given)
		}
		if context.Cause(attempt) == errRevoked {
			a.finish(record) // a revoked attempt gets no result
			return
		}
		if result == nil {
			return // the process ends; the attempt comes again
		}
		event := given.AttemptID + ":result"
		if err := a.say(ctx, topicResults, given.RootTaskID, nameResult, event, *result); err != nil {
			log.Printf("%s: %v", given.AttemptID, err)
			return
		}
		a.keep(*result)
		a.finish(record)
	}()
}

func (a *Arm) release(attemptID string, cancel context.CancelCauseFunc) {
	cancel(nil)
	a.lock.Lock()
	delete(a.cancels, attemptID)
	a.lock.Unlock()
	a.held.Add(-1)
}

func (a *Arm) keep(result Result) {
	a.lock.Lock()
	defer a.lock.Unlock()
	if _, known := a.done[result.AttemptID]; !known {
		a.order = append(a.order, result.AttemptID)
	}
	a.done[result.AttemptID] = result
	if len(a.order) > keptResults {
		delete(a.done, a.order[0])
		a.order = a.order[1:]
	}
}

// attempt waits for a free slot, then works; its lease is renewed from the first moment on.
func (a *Arm) attempt(ctx context.Context, given Assignment) *Result {
	go a.renew(ctx, given)
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return nil
	}
	a.running.Add(1)
	defer a.running.Add(-1)
	limit := min(time.Duration(given.TimeoutMs)*time.Millisecond, time.Duration(capability.TimeoutSeconds)*time.Second)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	started := time.AfterFunc(announceFrom, func() { a.sign(bounded, nameStarted, given, "started", "") })
	defer started.Stop()
	began := time.Now()
	output, err := Work(bounded, given.Context)
	if ctx.Err() != nil {
		return nil
	}
	result := a.result(given, output, err, time.Since(began))
	return &result
}

func (a *Arm) result(given Assignment, output any, err error, took time.Duration) Result {
	result := Result{
		RootTaskID: given.RootTaskID, TaskID: given.TaskID, AttemptID: given.AttemptID, ArmID: a.id,
		Status: "SUCCESS", Confidence: 1, ExecutionTimeMs: took.Milliseconds(),
		Provenance: Provenance{
			ArmID: a.id, Timestamp: now(), DataSources: []string{"context.text"},
			CommandHash: digest([]byte(a.id + " " + capability.Version + " Work")),
		},
	}
	var text []byte
	if err == nil {
		text, err = canonical(output)
	}
	if err != nil {
		failed := failureOf(err)
		result.Status, result.Confidence, result.Retryable = "FAILURE", 0, failed.Retryable
		result.Error, result.ErrorCode = &failed.Message, &failed.Code
		return result
	}
	hash := digest(text)
	result.Output, result.Provenance.OutputHash = string(text), &hash
	return result
}

// renew tells three times per lease that the attempt is held.
func (a *Arm) renew(ctx context.Context, given Assignment) {
	ticker := time.NewTicker(max(time.Duration(given.LeaseMs)*time.Millisecond/3, time.Millisecond))
	defer ticker.Stop()
	for number := 1; ; number++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			a.sign(ctx, nameBeat, given, fmt.Sprintf("alive:%s:%d", a.instance, number), "at work")
		}
	}
}

func (a *Arm) sign(ctx context.Context, name string, given Assignment, what, note string) {
	sign := Sign{given.RootTaskID, given.TaskID, given.AttemptID, a.id, a.instance, note}
	if err := a.say(ctx, topicResults, given.RootTaskID, name, given.AttemptID+":"+what, sign); err != nil && ctx.Err() == nil {
		log.Printf("%s: %v", given.AttemptID, err)
	}
}

// beat tells the registry that this process lives.
func (a *Arm) beat(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		alive := ArmHeartbeat{a.id, a.instance, a.running.Load(), a.held.Load()}
		event := fmt.Sprintf("%s:alive:%d", a.instance, time.Now().UnixMilli())
		if err := a.say(ctx, topicArms, a.id, nameArmBeat, event, alive); err != nil && ctx.Err() == nil {
			log.Print(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// leave tells the registry that nobody takes assignments here any more.
func (a *Arm) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	gone := ArmHealthChanged{a.id, "UNAVAILABLE", "HEALTHY", "its process was stopped"}
	if err := a.say(ctx, topicArms, a.id, nameHealth, a.instance+":stopped", gone); err != nil {
		log.Print(err)
	}
}

// say writes a record and waits until it is in the log.
func (a *Arm) say(ctx context.Context, topic, key, name, event string, record any) error {
	value, err := a.schemas.Load().Encode(name, record)
	if err != nil {
		return err
	}
	headers := []kgo.RecordHeader{
		{Key: "ce_id", Value: []byte(event)},
		{Key: "ce_type", Value: []byte(name)},
		{Key: "ce_source", Value: []byte("/octolog/arms/" + a.id)},
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_time", Value: []byte(now().Format("2006-01-02T15:04:05.000Z"))},
	}
	sent := &kgo.Record{Topic: topic, Key: []byte(key), Value: value, Headers: headers}
	return a.client.ProduceSync(ctx, sent).FirstErr()
}

// canonical is JSON with sorted keys and without spaces, as octolog writes it.
func canonical(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text) // maps are written with sorted keys
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(text.Bytes(), "\n"), nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
