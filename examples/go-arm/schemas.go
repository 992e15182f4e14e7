package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const schemasTopic = "_schemas"

// Schemas holds what the `_schemas` topic says: the id that each record is written with, and the schema of every id.
// With a schema registry by URL the same comes from its REST API.
type Schemas struct {
	byID     map[uint32]avro.Schema
	names    map[uint32]string
	latest   map[string]uint32
	versions map[string]int
}

type schemaKey struct {
	KeyType string `json:"keytype"`
}

type schemaValue struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      uint32 `json:"id"`
	Schema  string `json:"schema"`
	Deleted bool   `json:"deleted"`
}

// ReadSchemas reads the topic from its beginning to its end as it is now.
func ReadSchemas(ctx context.Context, brokers []string) (*Schemas, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(schemasTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, schemasTopic)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", schemasTopic, err)
	}
	end, ok := ends.Lookup(schemasTopic, 0)
	if !ok || end.Err != nil || end.Offset == 0 {
		return nil, errors.New("there are no schemas yet: start octolog first")
	}
	found := &Schemas{map[uint32]avro.Schema{}, map[uint32]string{}, map[string]uint32{}, map[string]int{}}
	for next := int64(0); next < end.Offset; {
		polled := client.PollFetches(ctx)
		if err := polled.Err0(); err != nil {
			return nil, err
		}
		polled.EachRecord(func(record *kgo.Record) {
			found.take(record)
			next = record.Offset + 1
		})
	}
	return found, nil
}

func (s *Schemas) take(record *kgo.Record) {
	var key schemaKey
	var value schemaValue
	if json.Unmarshal(record.Key, &key) != nil || key.KeyType != "SCHEMA" || json.Unmarshal(record.Value, &value) != nil {
		return // settings of subjects, deletions, other applications
	}
	// A cache of its own: schemas repeat the names of what they contain.
	schema, err := avro.ParseWithCache(value.Schema, "", &avro.SchemaCache{})
	if err != nil {
		return
	}
	s.byID[value.ID] = schema
	s.names[value.ID] = value.Subject
	if !value.Deleted && value.Version >= s.versions[value.Subject] {
		s.latest[value.Subject], s.versions[value.Subject] = value.ID, value.Version
	}
}

// Encode writes a record in the Confluent wire format; fields that the struct lacks get the schema's defaults.
func (s *Schemas) Encode(name string, record any) ([]byte, error) {
	id, ok := s.latest[name]
	if !ok {
		return nil, fmt.Errorf("%s has no schema in %s", name, schemasTopic)
	}
	body, err := avro.Marshal(s.byID[id], record)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), body...), nil
}

// Name says which record some bytes are.
func (s *Schemas) Name(value []byte) (string, uint32, error) {
	if len(value) < 5 || value[0] != 0 {
		return "", 0, errors.New("not the Confluent wire format")
	}
	id := binary.BigEndian.Uint32(value[1:5])
	name, ok := s.names[id]
	if !ok {
		return "", 0, fmt.Errorf("schema id %d is not known", id)
	}
	return name, id, nil
}

// Decode reads a record; fields that the struct lacks are passed over.
func (s *Schemas) Decode(value []byte, id uint32, into any) error {
	return avro.Unmarshal(s.byID[id], value[5:], into)
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
