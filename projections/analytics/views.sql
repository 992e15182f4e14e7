-- Views over the tables of records; docs/reference/tables.md says what each answers.
-- Keys of a tree come first and are joined on, so that a condition on root_task_id reaches every table below.

-- Every task of every tree: roots and subtasks by their contract, steps by the plan they came with, and what
-- programs made.
CREATE VIEW task_nodes AS
SELECT given.link_root_task_id AS root_task_id, given.contract_task_id AS task_id,
       given.contract_parent_task_id AS parent_task_id, NULL AS step_id,
       coalesce(program.goal, given.contract_goal) AS goal, CAST([] AS VARCHAR[]) AS depends_on,
       given.happened_at AS submitted_at, given.link_seq AS seq,
       len(given.contract_steps) > 0 OR program.type IS NOT NULL AS planned,
       program.type AS operator, CAST(NULL AS VARCHAR) AS made_as, CAST(NULL AS VARCHAR) AS input_name, program.parts
FROM task_submitted AS given
LEFT JOIN operators AS program
  ON program.root_task_id = given.link_root_task_id AND program.program_id = given.contract_task_id
 AND program.position = 0 AND program.origin = 'CONTRACT'
UNION ALL
SELECT link_root_task_id, contract_task_id || '/' || step.step_id, contract_task_id,
       step.step_id, step.goal, list_transform(step.depends_on, lambda name: contract_task_id || '/' || name),
       happened_at, link_seq, false, NULL, 'PLANNED', NULL, NULL
FROM (SELECT link_root_task_id, contract_task_id, happened_at, link_seq, unnest(contract_steps) AS step FROM task_submitted)
UNION ALL
SELECT link_root_task_id, task_id || '/' || step.step_id, task_id,
       step.step_id, step.goal, list_transform(step.depends_on, lambda name: task_id || '/' || name),
       happened_at, link_seq, false, NULL, 'PLANNED', NULL, NULL
FROM (SELECT link_root_task_id, task_id, happened_at, link_seq, unnest(steps) AS step FROM task_planned)
UNION ALL
SELECT root_task_id, task_id, parent_task_id, step_id, goal, [], happened_at, seq, true, operator, made_as, input_name,
       parts
FROM program_tasks WHERE made_as <> 'CONTRACT'
UNION ALL
SELECT link_root_task_id, judge_task_id, task_id, NULL, 'Judge ' || task_id, [task_id], happened_at, link_seq, false, NULL,
       'JUDGE', NULL, NULL
FROM judging_started;

CREATE VIEW attempts AS
SELECT given.link_root_task_id AS root_task_id, given.task_id, given.attempt_id, given.number, given.arm_id,
       given.happened_at AS assigned_at, ended.happened_at AS ended_at, coalesce(ended.outcome, 'OPEN') AS outcome,
       date_diff('millisecond', given.happened_at, ended.happened_at) AS duration_ms, ended.execution_time_ms,
       ended.settled_tokens AS tokens, ended.settled_calls AS calls,
       ended.settled_cost_micros / 1e6 AS cost_dollars, ended.settled_time_ms AS time_ms,
       ended.confidence, ended.error_code, ended.error, ended.retryable,
       ended.provenance_model_version AS model, given.policy, given.link_seq AS assigned_seq, ended.link_seq AS ended_seq
FROM attempt_assigned AS given
LEFT JOIN attempt_ended AS ended
  ON ended.link_root_task_id = given.link_root_task_id AND ended.attempt_id = given.attempt_id;

-- What a task's last fact says of its state.
CREATE VIEW task_states AS
SELECT root_task_id, task_id, arg_max(status, seq) AS status, max(ended_at) AS ended_at,
       max(code) AS code, max(reason) AS reason
FROM (
    SELECT link_root_task_id AS root_task_id, task_id, link_seq AS seq, 'ASSIGNED' AS status,
           CAST(NULL AS TIMESTAMP) AS ended_at, CAST(NULL AS VARCHAR) AS code, CAST(NULL AS VARCHAR) AS reason
    FROM attempt_assigned
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'RUNNING', NULL, NULL, NULL FROM lease_renewed WHERE started
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'WAITING', NULL, NULL, NULL FROM attempt_ended
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'WAITING', NULL, NULL, NULL FROM task_planned
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'BACKOFF', NULL, NULL, NULL FROM retry_scheduled
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'READY', NULL, NULL, NULL FROM retry_due
    UNION ALL
    SELECT root_task_id, task_id, seq, CASE WHEN operator = 'ATOMIC' AND arguments = 0 THEN 'READY' ELSE 'WAITING' END,
           NULL, NULL, NULL
    FROM program_tasks
    UNION ALL  -- the last that it waited for has answered: its arguments, the subtask that it asked for
    SELECT given.root_task_id, given.parent_task_id, max(done.link_seq), 'READY', NULL, NULL, NULL
    FROM program_tasks AS given
    JOIN task_completed AS done ON done.link_root_task_id = given.root_task_id AND done.task_id = given.task_id
    WHERE given.awaited IS NOT NULL
    GROUP BY given.root_task_id, given.parent_task_id, CASE WHEN given.made_as = 'SUBTASK' THEN given.task_id END
    HAVING count(*) = any_value(given.awaited)
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'WAITING', NULL, NULL, NULL FROM recovery_started
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'WAITING', NULL, NULL, NULL FROM subtask_requested
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'HELD', NULL, NULL, question FROM approval_requested
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'READY', NULL, NULL, NULL FROM approval_decided WHERE approved
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'READY', NULL, NULL, NULL FROM plan_refused
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'WAITING', NULL, NULL, NULL FROM judging_started
    UNION ALL SELECT link_root_task_id, unnest(repaired), link_seq, 'READY', NULL, NULL, NULL FROM repair_started
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'READY', NULL, NULL, NULL FROM replan_started
    UNION ALL SELECT link_root_task_id, unnest(dropped), link_seq, 'CANCELLED', happened_at, NULL, 'dropped by a new plan'
    FROM replan_started
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'COMPLETED', happened_at, NULL, NULL FROM task_completed
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'FAILED', happened_at, code, message FROM task_failed
    UNION ALL SELECT link_root_task_id, task_id, link_seq, 'CANCELLED', happened_at, 'CANCELLED', reason FROM task_cancelled
)
GROUP BY root_task_id, task_id;

-- Trees that are over: what their root's last fact says.
CREATE VIEW tree_ends AS
SELECT link_root_task_id AS root_task_id, 'COMPLETED' AS status, happened_at AS ended_at,
       CAST(NULL AS VARCHAR) AS code, CAST(NULL AS VARCHAR) AS reason
FROM task_completed WHERE task_id = link_root_task_id
UNION ALL
SELECT link_root_task_id, 'FAILED', happened_at, code, message FROM task_failed WHERE task_id = link_root_task_id
UNION ALL
SELECT link_root_task_id, 'CANCELLED', happened_at, 'CANCELLED', reason FROM task_cancelled WHERE task_id = link_root_task_id;

-- One row per task, steps too. A task without its own fact is what its tree and its prerequisites make it;
-- in a tree that is over, what never ran counts as cancelled. Use is the task's own: the sum is the tree's.
CREATE VIEW tasks AS
WITH RECURSIVE work AS (
    SELECT root_task_id, task_id, min(assigned_at) AS started_at, max(number) AS attempts,
           arg_max(arm_id, number) AS arm, arg_max(error_code, number) AS error_code, arg_max(error, number) AS error,
           sum(tokens) AS tokens, sum(cost_dollars) AS cost_dollars, sum(time_ms) AS time_ms
    FROM attempts GROUP BY root_task_id, task_id
), waits AS (
    SELECT need.root_task_id, need.task_id, bool_or(done.task_id IS NULL) AS blocked
    FROM (SELECT root_task_id, task_id, unnest(depends_on) AS needs FROM task_nodes) AS need
    LEFT JOIN task_completed AS done ON done.link_root_task_id = need.root_task_id AND done.task_id = need.needs
    GROUP BY need.root_task_id, need.task_id
), stopped AS (  -- what fails in a program takes with it all that stands below, what was submitted there too
    SELECT link_root_task_id AS root_task_id, task_id FROM task_failed WHERE task_id <> link_root_task_id
    UNION
    SELECT high.root_task_id, low.contract_task_id
    FROM stopped AS high JOIN task_submitted AS low
      ON low.link_root_task_id = high.root_task_id AND low.contract_parent_task_id IS NOT NULL
     AND starts_with(low.contract_parent_task_id || '/', high.task_id || '/')
), tops AS (
    SELECT root_task_id, list(task_id || '/') AS above FROM stopped GROUP BY root_task_id
)
SELECT node.root_task_id, node.task_id, node.parent_task_id, node.step_id, node.goal,
       CASE WHEN own.status IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN own.status
            WHEN root.status IS NOT NULL THEN 'CANCELLED'
            WHEN len(list_filter(tops.above, lambda top: starts_with(node.task_id || '/', top))) > 0 THEN 'CANCELLED'
            WHEN own.status IS NOT NULL THEN own.status
            WHEN node.planned THEN 'WAITING'
            WHEN waits.blocked THEN 'BLOCKED'
            ELSE 'READY' END AS status,
       node.submitted_at, work.started_at, own.ended_at, coalesce(work.attempts, 0) AS attempts, work.arm,
       CASE WHEN own.status = 'COMPLETED' THEN NULL ELSE coalesce(own.code, work.error_code) END AS error_code,
       CASE WHEN own.status = 'COMPLETED' THEN NULL ELSE coalesce(own.reason, work.error) END AS error,
       CAST(coalesce(work.tokens, 0) AS BIGINT) AS tokens, coalesce(work.cost_dollars, 0) AS cost_dollars,
       CAST(coalesce(work.time_ms, 0) AS BIGINT) AS time_ms, node.depends_on, node.seq,
       node.operator, node.made_as, node.input_name, node.parts
FROM task_nodes AS node
LEFT JOIN task_states AS own ON own.root_task_id = node.root_task_id AND own.task_id = node.task_id
LEFT JOIN tree_ends AS root ON root.root_task_id = node.root_task_id
LEFT JOIN work ON work.root_task_id = node.root_task_id AND work.task_id = node.task_id
LEFT JOIN waits ON waits.root_task_id = node.root_task_id AND waits.task_id = node.task_id
LEFT JOIN tops ON tops.root_task_id = node.root_task_id;

-- One row per tree, with the use of all its tasks.
CREATE VIEW trees AS
WITH used AS (
    SELECT link_root_task_id AS root_task_id, count(*) AS attempts, sum(settled_tokens) AS tokens,
           sum(settled_cost_micros) / 1e6 AS cost_dollars, sum(settled_time_ms) AS time_ms
    FROM attempt_ended GROUP BY link_root_task_id
)
SELECT given.link_root_task_id AS root_task_id, given.contract_goal AS goal, given.submitted_by,
       coalesce(own.status, 'OPEN') AS status,
       given.happened_at AS submitted_at, own.ended_at, own.code AS error_code, own.reason AS error,
       coalesce(used.attempts, 0) AS attempts_ended, CAST(coalesce(used.tokens, 0) AS BIGINT) AS tokens,
       coalesce(used.cost_dollars, 0) AS cost_dollars, CAST(coalesce(used.time_ms, 0) AS BIGINT) AS time_ms
FROM task_submitted AS given
LEFT JOIN tree_ends AS own ON own.root_task_id = given.link_root_task_id
LEFT JOIN used ON used.root_task_id = given.link_root_task_id
WHERE given.contract_task_id = given.link_root_task_id;

CREATE VIEW cost_per_arm_day AS
SELECT arm_id, CAST(happened_at AS DATE) AS day, count(*) AS attempts, count(*) FILTER (outcome = 'SUCCESS') AS succeeded,
       CAST(sum(settled_tokens) AS BIGINT) AS tokens, CAST(sum(settled_calls) AS BIGINT) AS calls,
       sum(settled_cost_micros) / 1e6 AS cost_dollars, CAST(sum(settled_time_ms) AS BIGINT) AS time_ms
FROM attempt_ended GROUP BY arm_id, day;

-- From assignment to end, so that waiting at the arm counts. Tasks without a step name share the name ''.
CREATE VIEW step_latency AS
SELECT coalesce(node.step_id, '') AS step_id, done.arm_id, count(*) AS attempts,
       quantile_cont(done.duration_ms, 0.5) AS p50_ms, quantile_cont(done.duration_ms, 0.95) AS p95_ms,
       max(done.duration_ms) AS max_ms
FROM attempts AS done
LEFT JOIN task_nodes AS node ON node.root_task_id = done.root_task_id AND node.task_id = done.task_id
WHERE done.ended_at IS NOT NULL
GROUP BY ALL;

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
