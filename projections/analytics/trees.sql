-- What is worked out of the facts of trees, one tree by itself; `projections.analytics.settled` says for which trees.
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

-- From assignment to end, so that waiting at the arm counts. Tasks without a step name share the name ''.
CREATE VIEW latencies AS
SELECT done.root_task_id, coalesce(node.step_id, '') AS step_id, done.arm_id, done.duration_ms
FROM attempts AS done
LEFT JOIN task_nodes AS node ON node.root_task_id = done.root_task_id AND node.task_id = done.task_id
WHERE done.ended_at IS NOT NULL;
