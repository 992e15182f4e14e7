// An arm for octolog in Go, over the topics: it registers, sends heartbeats, takes its assignments and writes results.
//
//	go run . -brokers 127.0.0.1:9092
//
// docs/how-to/own-arm.md tells what each part is for.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	aliveEvery           = 10 * time.Second
	assignmentPartitions = 4
)

func main() {
	brokers := flag.String("brokers", os.Getenv("OCTOLOG_BOOTSTRAP_SERVERS"), "host:port, several joined by commas")
	armID := flag.String("arm-id", "go-word-counter", "lowercase words with hyphens")
	flag.Parse()
	if *brokers == "" {
		fmt.Fprintln(os.Stderr, "go-arm: give -brokers, or set OCTOLOG_BOOTSTRAP_SERVERS")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, strings.Split(*brokers, ","), *armID); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "go-arm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, brokers []string, armID string) error {
	schemas, err := ReadSchemas(ctx, brokers)
	if err != nil {
		return err
	}
	places := &Places{queue: map[int32][]*place{}}
	topic := "octolog.assignments." + armID
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumerGroup("octolog-arm-"+armID),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // an assignment whose transaction was aborted never was
		kgo.AutoCommitMarks(),                        // committed is what is marked: attempts whose result is in the log
		kgo.AutoCommitInterval(time.Second),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, gone map[string][]int32) {
			if err := client.CommitMarkedOffsets(ctx); err != nil {
				log.Print(err)
			}
			places.Forget(gone[topic])
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { places.Forget(gone[topic]) }),
		kgo.FetchMaxWait(100*time.Millisecond),
		// The default partitioner hashes keys as Kafka's Java client does; octolog relies on it.
	)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := makeTopic(ctx, client, topic); err != nil {
		return err
	}
	host, _ := os.Hostname()
	capability.ArmID = armID
	arm := NewArm(client, schemas, places, armID, fmt.Sprintf("%s-%d", host, os.Getpid()))
	if err := arm.say(ctx, topicArms, armID, nameRegistered, "registered", ArmRegistered{capability, arm.instance}); err != nil {
		return err
	}
	log.Printf("%s takes assignments from %s", armID, topic)
	go arm.beat(ctx, aliveEvery)
	defer arm.leave()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fetches.EachError(func(topic string, partition int32, err error) {
			log.Printf("%s/%d: %v", topic, partition, err)
		})
		fetches.EachRecord(func(record *kgo.Record) { arm.take(ctx, record) })
	}
}

// makeTopic makes the topic of assignments; the task processor would make it with the first assignment.
func makeTopic(ctx context.Context, client *kgo.Client, topic string) error {
	retention, clock := "604800000", "LogAppendTime"
	configs := map[string]*string{"retention.ms": &retention, "message.timestamp.type": &clock}
	_, err := kadm.NewClient(client).CreateTopic(ctx, assignmentPartitions, -1, configs, topic)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}
