package main

import "time"

// The records of octolog that this arm reads and writes, with the fields it needs. What a field means stands in
// schemas/avro; a struct may leave out any field that has a default there.

const (
	nameRegistered = "octolog.arm.ArmRegistered"
	nameArmBeat    = "octolog.arm.ArmHeartbeat"
	nameHealth     = "octolog.arm.ArmHealthChanged"
	nameAssignment = "octolog.assignment.AttemptAssignment"
	nameRevoked    = "octolog.assignment.AttemptRevoked"
	nameStarted    = "octolog.result.AttemptStarted"
	nameBeat       = "octolog.result.AttemptHeartbeat"
	nameResult     = "octolog.result.ExecutionResult"

	topicArms    = "octolog.arms"
	topicResults = "octolog.results"
)

type Capability struct {
	ArmID              string   `avro:"arm_id"`
	Name               string   `avro:"name"`
	Description        string   `avro:"description"`
	Capabilities       []string `avro:"capabilities"`
	CostTier           int      `avro:"cost_tier"`
	InputSchema        string   `avro:"input_schema_json"`
	OutputSchema       string   `avro:"output_schema_json"`
	TimeoutSeconds     int      `avro:"timeout_seconds"`
	Version            string   `avro:"version"`
	MaxConcurrentTasks int      `avro:"max_concurrent_tasks"`
}

type ArmRegistered struct {
	Capability   Capability `avro:"capability"`
	RegisteredBy string     `avro:"registered_by"`
}

type ArmHeartbeat struct {
	ArmID      string `avro:"arm_id"`
	InstanceID string `avro:"instance_id"`
	Running    int64  `avro:"running"`
	Held       int64  `avro:"held"`
}

type ArmHealthChanged struct {
	ArmID  string `avro:"arm_id"`
	Health string `avro:"health"`
	Before string `avro:"before"`
	Reason string `avro:"reason"`
}

type Assignment struct {
	RootTaskID string `avro:"root_task_id"`
	TaskID     string `avro:"task_id"`
	AttemptID  string `avro:"attempt_id"`
	ArmID      string `avro:"arm_id"`
	Goal       string `avro:"goal"`
	Context    string `avro:"context_json"`
	LeaseMs    int64  `avro:"lease_ms"`
	TimeoutMs  int64  `avro:"timeout_ms"`
}

type Revoked struct {
	AttemptID string `avro:"attempt_id"`
	Reason    string `avro:"reason"`
}

// Sign is an AttemptStarted, or with a note an AttemptHeartbeat.
type Sign struct {
	RootTaskID string `avro:"root_task_id"`
	TaskID     string `avro:"task_id"`
	AttemptID  string `avro:"attempt_id"`
	ArmID      string `avro:"arm_id"`
	InstanceID string `avro:"instance_id"`
	Note       string `avro:"note"`
}

type Provenance struct {
	ArmID       string    `avro:"arm_id"`
	Timestamp   time.Time `avro:"timestamp_ms"`
	CommandHash string    `avro:"command_hash"`
	DataSources []string  `avro:"data_sources"`
	OutputHash  *string   `avro:"output_hash"`
}

type Result struct {
	RootTaskID      string     `avro:"root_task_id"`
	TaskID          string     `avro:"task_id"`
	AttemptID       string     `avro:"attempt_id"`
	ArmID           string     `avro:"arm_id"`
	Status          string     `avro:"status"`
	Output          string     `avro:"output"`
	Confidence      float64    `avro:"confidence"`
	ExecutionTimeMs int64      `avro:"execution_time_ms"`
	TokensUsed      int64      `avro:"tokens_used"`
	Provenance      Provenance `avro:"provenance"`
	Error           *string    `avro:"error"`
	ErrorCode       *string    `avro:"error_code"`
	Retryable       bool       `avro:"retryable"`
}
