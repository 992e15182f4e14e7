package main

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"sort"
	"strings"
)

// What this arm can do. Everything else in this folder is the same for every arm.
var capability = Capability{
	Name:         "Word counter (Go)",
	Description:  "Counts the words of a text.",
	Capabilities: []string{"word_count"},
	CostTier:     1,
	InputSchema:  `{"properties":{"text":{"type":"string"}},"required":["text"],"type":"object"}`,
	OutputSchema: `{"properties":{"top":{"type":"array"},"words":{"type":"integer"}},"required":["words"],"type":"object"}`,

	TimeoutSeconds:     30,
	Version:            "1.0.0",
	MaxConcurrentTasks: 4,
}

var word = regexp.MustCompile(`[\p{L}\p{N}_]+`)

// Work does one attempt; it ends soon after its context does.
func Work(ctx context.Context, contextJSON string) (any, error) {
	var given struct {
		Text *string `json:"text"`
	}
	if err := json.Unmarshal([]byte(contextJSON), &given); err != nil || given.Text == nil {
		return nil, Failure{Code: "INVALID_INPUT", Message: "context.text must be a text"}
	}
	counts := map[string]int{}
	words := word.FindAllString(strings.ToLower(*given.Text), -1)
	for _, each := range words {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		counts[each]++
	}
	top := make([]string, 0, len(counts))
	for each := range counts {
		top = append(top, each)
	}
	sort.Slice(top, func(a, b int) bool {
		return counts[top[a]] > counts[top[b]] || counts[top[a]] == counts[top[b]] && top[a] < top[b]
	})
	return map[string]any{"words": len(words), "top": top[:min(3, len(top))]}, nil
}

// Failure is an attempt's end without a result; retryable: the same attempt may go well later.
type Failure struct {
	Code, Message string
	Retryable     bool
}

func (f Failure) Error() string { return f.Message }

func failureOf(err error) Failure {
	var known Failure
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.DeadlineExceeded):
		return Failure{Code: "EXECUTION_TIMEOUT", Message: "the attempt ran longer than it may", Retryable: true}
	default:
		return Failure{Code: "ARM_ERROR", Message: err.Error()}
	}
}
