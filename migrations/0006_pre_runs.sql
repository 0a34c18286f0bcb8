-- run_commits, run_board, tool_calls, run_waits, approvals, open_work: runs for lists, timelines, exports and the watch.
-- All can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE run_commits, run_board, tool_calls, run_waits, approvals, open_work.
SET LOCAL lock_timeout = '4s';

-- One row per commit of a run and of its approvals: the timeline and the exports.
CREATE TABLE run_commits (
    tenant_id     text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    run_id        text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    sequence      bigint      NOT NULL CHECK (sequence > 0),
    kind          text COLLATE "C" NOT NULL CHECK (kind IN ('run', 'approval')),
    stream_id     text COLLATE "C" NOT NULL CHECK (length(stream_id) BETWEEN 1 AND 64),
    first_version bigint      NOT NULL CHECK (first_version > 0),
    event_count   integer     NOT NULL CHECK (event_count > 0),
    at            timestamptz NOT NULL,
    body          text        NOT NULL,                                   -- exactly the JSON that is on the log
    PRIMARY KEY (tenant_id, run_id, sequence)
);
CREATE INDEX ON run_commits (tenant_id, at, sequence);
ALTER TABLE run_commits ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_commits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON run_commits USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON run_commits TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON run_commits TO fairlead_engine;

CREATE TABLE run_board (
    tenant_id          text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    run_id             text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    workspace_id       text COLLATE "C" NOT NULL,
    environment_id     text COLLATE "C" NOT NULL,
    environment_kind   text        NOT NULL CHECK (environment_kind IN ('live', 'test')),
    workflow_id        text COLLATE "C" NOT NULL,
    workflow_name      text        NOT NULL,
    workflow_version   integer     NOT NULL,
    workflow_hash      text        NOT NULL,
    policy_version     text        NOT NULL,
    planner            text        NOT NULL,
    agent_principal_id text COLLATE "C" NOT NULL,
    started_by_kind    text        NOT NULL,
    started_by         text COLLATE "C" NOT NULL,
    labels             jsonb       NOT NULL,
    parent_run_id      text COLLATE "C",
    parent_version     bigint,
    started_at         timestamptz NOT NULL,
    deadline_at        timestamptz NOT NULL,
    started_sequence   bigint      NOT NULL,                              -- newest first, and the cursor of lists
    awaiting           text        NOT NULL DEFAULT 'nothing'
                       CHECK (awaiting IN ('work', 'approval', 'person', 'signal', 'time', 'nothing')),
    paused_reason      text,
    outcome            text
                       CHECK (outcome IN ('completed', 'failed', 'impossible', 'cancelled', 'capped', 'expired')),
    status             text        NOT NULL GENERATED ALWAYS AS (CASE
                           WHEN outcome IS NOT NULL THEN outcome
                           WHEN paused_reason IS NOT NULL THEN 'paused'
                           WHEN awaiting = 'approval' THEN 'waiting_for_approval'
                           WHEN awaiting = 'person' THEN 'waiting_for_input'
                           WHEN awaiting = 'signal' THEN 'waiting_for_signal'
                           WHEN awaiting = 'time' THEN 'waiting_for_time'
                           ELSE 'running' END) STORED,
    reason_code        text,
    reason             text,
    ended_at           timestamptz,
    tool_calls         integer     NOT NULL DEFAULT 0 CHECK (tool_calls >= 0),
    updated_at         timestamptz NOT NULL,
    last_sequence      bigint      NOT NULL,
    stream_version     bigint      NOT NULL,                              -- last event folded in
    PRIMARY KEY (tenant_id, run_id)
) WITH (fillfactor = 70);
CREATE INDEX ON run_board (tenant_id, started_sequence);
CREATE INDEX ON run_board (tenant_id, status, started_sequence);
CREATE INDEX ON run_board (tenant_id, workflow_id, started_sequence);
ALTER TABLE run_board ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_board FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON run_board USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON run_board TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON run_board TO fairlead_engine;

CREATE TABLE tool_calls (
    tenant_id          text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    call_id            text COLLATE "C" NOT NULL CHECK (length(call_id) BETWEEN 1 AND 64),
    run_id             text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    step               text        NOT NULL,
    tool               text        NOT NULL,
    tool_version       text        NOT NULL,
    schema_hash        text        NOT NULL,
    effect             text        NOT NULL CHECK (effect IN ('read', 'write', 'destructive')),
    idempotency        text        NOT NULL CHECK (idempotency IN ('key', 'natural', 'none')),
    arguments          json        NOT NULL,
    status             text        NOT NULL CHECK (status IN (
                           'requested', 'judged', 'awaiting_approval', 'dispatched', 'started', 'backing_off',
                           'unknown', 'completed', 'failed', 'denied', 'released')),
    verdict            text        CHECK (verdict IN ('allow', 'deny', 'require_approval')),
    rule_id            text,
    policy_version     text,
    approval_id        text COLLATE "C",
    attempt            integer     NOT NULL DEFAULT 0,
    output             json,
    output_sha256      text,
    error_class        text,
    error_code         text,
    error_message      text,
    latency_us         bigint,                                            -- of the last attempt
    worker             text,
    requested_at       timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    requested_sequence bigint      NOT NULL,
    stream_version     bigint      NOT NULL,                              -- last event folded in
    PRIMARY KEY (tenant_id, call_id)
) WITH (fillfactor = 70);
CREATE INDEX ON tool_calls (tenant_id, run_id, requested_sequence);
ALTER TABLE tool_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE tool_calls FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON tool_calls USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON tool_calls TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON tool_calls TO fairlead_engine;

-- What a run waits or has waited for besides calls: questions, signals, times, and signals that came early.
CREATE TABLE run_waits (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    run_id         text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    what           text COLLATE "C" NOT NULL CHECK (what IN ('question', 'signal', 'time', 'early_signal')),
    item           text COLLATE "C" NOT NULL,                             -- question id, step, or signal id
    open           boolean     NOT NULL,
    step           text        NOT NULL DEFAULT '',
    name           text        NOT NULL DEFAULT '',                       -- of a signal; purpose of a question
    question       text,
    schema         json,
    roles          text[]      NOT NULL DEFAULT '{}',
    due_at         timestamptz,
    since          timestamptz NOT NULL,
    stream_version bigint      NOT NULL,                                  -- last event folded in
    PRIMARY KEY (tenant_id, run_id, what, item)
);
ALTER TABLE run_waits ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_waits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON run_waits USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON run_waits TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON run_waits TO fairlead_engine;

CREATE TABLE approvals (
    tenant_id          text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    approval_id        text COLLATE "C" NOT NULL CHECK (length(approval_id) BETWEEN 1 AND 64),
    run_id             text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    call_id            text COLLATE "C" NOT NULL CHECK (length(call_id) BETWEEN 1 AND 64),
    workspace_id       text COLLATE "C" NOT NULL,
    workflow_name      text        NOT NULL,
    tool               text        NOT NULL,
    arguments          json        NOT NULL,
    rule_id            text        NOT NULL,
    reason             text        NOT NULL,
    evidence           json        NOT NULL,
    fingerprint        text        NOT NULL,
    digest             text        NOT NULL,
    count              integer     NOT NULL CHECK (count >= 1),            -- signatures needed, each of another person
    roles              text[]      NOT NULL,
    requested_by       text[]      NOT NULL,
    status             text        NOT NULL DEFAULT 'pending'
                       CHECK (status IN ('pending', 'granted', 'denied', 'expired', 'withdrawn')),
    answers            jsonb       NOT NULL DEFAULT '[]',                  -- who, yes or no, comment, when
    requested_at       timestamptz NOT NULL,
    deadline_at        timestamptz NOT NULL,
    settled_at         timestamptz,
    settled_reason     text,
    requested_sequence bigint      NOT NULL,                               -- the cursor of lists
    stream_version     bigint      NOT NULL,                               -- last event folded in
    PRIMARY KEY (tenant_id, approval_id)
);
CREATE INDEX ON approvals (tenant_id, status, requested_sequence);
CREATE INDEX ON approvals (tenant_id, run_id, requested_sequence);
ALTER TABLE approvals ENABLE ROW LEVEL SECURITY;
ALTER TABLE approvals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON approvals USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON approvals TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON approvals TO fairlead_engine;

-- Runs under way and when the watch looks at each next. Ids and times only: the watch serves all tenants at once, so the
-- engine's role, and no other, may see and postpone the rows of all. It can add and remove them inside the fence only.
CREATE TABLE open_work (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    run_id         text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    look_at        timestamptz NOT NULL,
    stream_version bigint      NOT NULL,                                  -- last event folded in
    PRIMARY KEY (tenant_id, run_id)
) WITH (fillfactor = 50);
ALTER TABLE open_work ENABLE ROW LEVEL SECURITY;
ALTER TABLE open_work FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON open_work USING (tenant_id = (SELECT app_tenant()));
CREATE POLICY watch_sees_all ON open_work FOR SELECT TO fairlead_engine USING (true);
CREATE POLICY watch_postpones_all ON open_work FOR UPDATE TO fairlead_engine USING (true);
GRANT SELECT, INSERT, DELETE, MAINTAIN, UPDATE (look_at, stream_version) ON open_work TO fairlead_engine;
