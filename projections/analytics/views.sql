-- Views over the tables of records; docs/reference/tables.md says what each answers.

-- `tasks` and `trees` and what they are made of: trees.sql.

CREATE VIEW cost_per_arm_day AS
SELECT arm_id, CAST(happened_at AS DATE) AS day, count(*) AS attempts, count(*) FILTER (outcome = 'SUCCESS') AS succeeded,
       CAST(sum(settled_tokens) AS BIGINT) AS tokens, CAST(sum(settled_calls) AS BIGINT) AS calls,
       sum(settled_cost_micros) / 1e6 AS cost_dollars, CAST(sum(settled_time_ms) AS BIGINT) AS time_ms
FROM attempt_ended GROUP BY arm_id, day;

-- The ledger as it filled: a row per settled attempt, with the limits that held then; no limit, no share.
CREATE VIEW budget_burn AS
WITH moves AS (
    SELECT link_root_task_id AS root_task_id, link_seq AS seq, happened_at, CAST(NULL AS VARCHAR) AS task_id,
           {'tokens': contract_budget_max_tokens, 'time_ms': contract_budget_max_time_ms,
            'cost_micros': contract_budget_max_cost_micros, 'calls': contract_budget_max_llm_calls} AS limits,
           0 AS tokens, 0 AS time_ms, 0 AS cost_micros, 0 AS calls
    FROM task_submitted WHERE contract_task_id = link_root_task_id
    UNION ALL
    SELECT link_root_task_id, link_seq, happened_at, NULL,
           {'tokens': limits_max_tokens, 'time_ms': limits_max_time_ms,
            'cost_micros': limits_max_cost_micros, 'calls': limits_max_llm_calls}, 0, 0, 0, 0
    FROM budget_amended
    UNION ALL
    SELECT link_root_task_id, link_seq, happened_at, task_id, NULL,
           settled_tokens, settled_time_ms, settled_cost_micros, settled_calls
    FROM attempt_ended
), filled AS (
    SELECT root_task_id, seq, happened_at, task_id, last_value(limits IGNORE NULLS) OVER history AS held,
           sum(tokens) OVER history AS tokens, sum(time_ms) OVER history AS time_ms,
           sum(cost_micros) OVER history AS cost_micros, sum(calls) OVER history AS calls
    FROM moves
    WINDOW history AS (PARTITION BY root_task_id ORDER BY seq ROWS UNBOUNDED PRECEDING)
)
SELECT root_task_id, seq, happened_at, task_id,
       CAST(tokens AS BIGINT) AS tokens, held.tokens AS tokens_limit, tokens / held.tokens AS tokens_share,
       cost_micros / 1e6 AS cost_dollars, held.cost_micros / 1e6 AS cost_dollars_limit,
       cost_micros / held.cost_micros AS cost_share,
       CAST(time_ms AS BIGINT) AS time_ms, held.time_ms AS time_ms_limit, time_ms / held.time_ms AS time_share,
       CAST(calls AS BIGINT) AS calls, held.calls AS calls_limit, calls / held.calls AS calls_share
FROM filled WHERE task_id IS NOT NULL;

-- Who was asked what, and what they said; a request of a tree that is over is open no more.
CREATE VIEW approvals AS
SELECT asked.link_root_task_id AS root_task_id, asked.task_id, asked.number, asked.reason, asked.question,
       CASE WHEN said.approved THEN 'APPROVED' WHEN NOT said.approved THEN 'DENIED'
            WHEN over.root_task_id IS NOT NULL THEN 'CLOSED' ELSE 'OPEN' END AS state,
       asked.happened_at AS requested_at, asked.due, asked.on_timeout, said.happened_at AS decided_at,
       said.decided_by, said.comment, coalesce(said.timed_out, false) AS timed_out, asked.about, asked.link_seq AS seq
FROM approval_requested AS asked
LEFT JOIN approval_decided AS said
  ON said.link_root_task_id = asked.link_root_task_id AND said.task_id = asked.task_id AND said.number = asked.number
LEFT JOIN tree_ends AS over ON over.root_task_id = asked.link_root_task_id;

-- A row per tree and resource: the limit that holds now, what is settled, held by open attempts, and of what is settled
-- how much no report confirms, because an outcome is unknown. Milliseconds, millionths of a dollar.
CREATE VIEW budgets AS
WITH moves AS (
    SELECT link_root_task_id AS root_task_id, link_seq AS seq,
           [contract_budget_max_tokens, contract_budget_max_time_ms, contract_budget_max_cost_micros,
            contract_budget_max_llm_calls] AS limits
    FROM task_submitted WHERE contract_task_id = link_root_task_id
    UNION ALL
    SELECT link_root_task_id, link_seq,
           [limits_max_tokens, limits_max_time_ms, limits_max_cost_micros, limits_max_llm_calls]
    FROM budget_amended
), held AS (
    SELECT given.link_root_task_id AS root_task_id,
           [sum(coalesce(given.allowance_max_tokens, 0)), sum(coalesce(given.allowance_max_time_ms, 0)),
            sum(coalesce(given.allowance_max_cost_micros, 0)), sum(coalesce(given.allowance_max_llm_calls, 0))] AS amounts
    FROM attempt_assigned AS given
    ANTI JOIN attempt_ended AS ended
      ON ended.link_root_task_id = given.link_root_task_id AND ended.attempt_id = given.attempt_id
    GROUP BY ALL
), charged AS (
    SELECT link_root_task_id AS root_task_id,
           [sum(settled_tokens), sum(settled_time_ms), sum(settled_cost_micros), sum(settled_calls)] AS amounts,
           [sum(unknown_tokens), sum(unknown_time_ms), sum(unknown_cost_micros), sum(unknown_calls)] AS unknown
    FROM attempt_ended GROUP BY ALL
), now AS (
    SELECT root_task_id, arg_max(limits, seq) AS limits FROM moves GROUP BY root_task_id
)
SELECT now.root_task_id, ['TOKENS', 'TIME', 'COST', 'CALLS'][n] AS resource, now.limits[n] AS "limit",
       CAST(coalesce(charged.amounts[n], 0) AS BIGINT) AS settled, CAST(coalesce(held.amounts[n], 0) AS BIGINT) AS reserved,
       CAST(coalesce(charged.unknown[n], 0) AS BIGINT) AS unknown,
       CAST(now.limits[n] - coalesce(charged.amounts[n], 0) - coalesce(held.amounts[n], 0) AS BIGINT) AS free
FROM now CROSS JOIN range(1, 5) AS place(n)
LEFT JOIN charged ON charged.root_task_id = now.root_task_id
LEFT JOIN held ON held.root_task_id = now.root_task_id;

-- Everything that went wrong in a tree, by cause: attempts, tasks, refused requests.
CREATE VIEW failures AS
SELECT 'ATTEMPT' AS kind, link_root_task_id AS root_task_id, link_seq AS seq, happened_at, task_id, attempt_id, arm_id,
       coalesce(error_code, outcome) AS code, outcome AS category, error AS message
FROM attempt_ended WHERE outcome NOT IN ('SUCCESS', 'PARTIAL')
UNION ALL
SELECT 'TASK', link_root_task_id, link_seq, happened_at, task_id, NULL, NULL, code, category, message FROM task_failed
UNION ALL
SELECT 'REQUEST', link_root_task_id, link_seq, happened_at, task_id, NULL, NULL, code, category, message FROM request_rejected;

-- What each attempt's handler counted; null: no limit.
CREATE VIEW handlers AS
SELECT root_task_id, task_id, attempt_id, arm_id, nullif(model, '') AS model,
       metrics_turns_used AS turns, nullif(metrics_turns_limit, 0) AS turns_limit, metrics_last_turn_at AS last_turn_at,
       metrics_context_used AS context_tokens, nullif(metrics_context_limit, 0) AS context_limit,
       metrics_context_peak AS context_peak, metrics_context_peak / nullif(metrics_context_limit, 0) AS context_peak_share,
       limits_timeout_ms AS timeout_ms, warnings, nullif(stopped_by, '') AS stopped_by, log_timestamp AS reported_at
FROM handler_metrics;

-- What was remembered and forgotten each day, and what was there at its end; a memory counts once, however often told.
CREATE VIEW memory_growth AS
WITH told AS (
    SELECT CAST(min(log_timestamp) AS DATE) AS day, memory_entity_type AS entity_type, 1 AS recorded, 0 AS ended
    FROM memory_recorded GROUP BY memory_memory_id, memory_entity_type
    UNION ALL
    SELECT CAST(min(gone.log_timestamp) AS DATE), any_value(known.memory_entity_type), 0, 1
    FROM (SELECT memory_id, log_timestamp FROM memory_forgotten
          UNION ALL SELECT memory_id, log_timestamp FROM memory_superseded) AS gone
    JOIN memory_recorded AS known ON known.memory_memory_id = gone.memory_id
    GROUP BY gone.memory_id
), days AS (
    SELECT day, entity_type, sum(recorded) AS recorded, sum(ended) AS ended FROM told GROUP BY day, entity_type
)
SELECT day, entity_type, CAST(recorded AS BIGINT) AS recorded, CAST(ended AS BIGINT) AS ended,
       CAST(sum(recorded - ended) OVER (PARTITION BY entity_type ORDER BY day) AS BIGINT) AS held
FROM days;

CREATE VIEW dead_letters AS
SELECT log_timestamp AS refused_at, log_offset AS dead_letter_offset, source_topic, source_partition, source_offset,
       source_timestamp AS source_at, consumer, error, reason, octet_length(value) AS size_bytes, key, value, headers_json
FROM dead_letter;

-- How each arm did, by its ended attempts, and when it was last heard of.
CREATE VIEW arm_stats AS
WITH work AS (
    SELECT arm_id, count(*) AS attempts, count(*) FILTER (outcome = 'SUCCESS') AS succeeded,
           count(*) FILTER (outcome IN ('SUCCESS', 'FAILURE', 'PARTIAL', 'TIMED_OUT', 'LOST')) AS judged,
           CAST(sum(settled_tokens) AS BIGINT) AS tokens, sum(settled_cost_micros) / 1e6 AS cost_dollars,
           quantile_cont(execution_time_ms, 0.5) FILTER (provenance_arm_id IS NOT NULL) AS p50_ms,
           quantile_cont(execution_time_ms, 0.95) FILTER (provenance_arm_id IS NOT NULL) AS p95_ms,
           max(happened_at) AS last_ended_at
    FROM attempt_ended GROUP BY arm_id
), beats AS (
    SELECT arm_id, max(log_timestamp) AS last_heartbeat_at, count(DISTINCT instance_id) AS instances
    FROM arm_heartbeat GROUP BY arm_id
)
SELECT coalesce(work.arm_id, beats.arm_id) AS arm_id, coalesce(attempts, 0) AS attempts,
       coalesce(succeeded, 0) AS succeeded, coalesce(judged, 0) AS judged, succeeded / nullif(judged, 0) AS success_rate,
       p50_ms, p95_ms, coalesce(tokens, 0) AS tokens, coalesce(cost_dollars, 0) AS cost_dollars,
       last_ended_at, last_heartbeat_at, coalesce(instances, 0) AS instances
FROM work FULL JOIN beats ON beats.arm_id = work.arm_id;
