-- dead_letters: calls that failed for good and effects that could not be undone. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE dead_letters.
SET LOCAL lock_timeout = '4s';

CREATE TABLE dead_letters (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    letter_id      text COLLATE "C" NOT NULL CHECK (length(letter_id) BETWEEN 1 AND 80),
    kind           text        NOT NULL CHECK (kind IN ('call', 'undo')),
    call_id        text COLLATE "C" NOT NULL CHECK (length(call_id) BETWEEN 1 AND 64),
    run_id         text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    status         text        NOT NULL CHECK (status IN (
                       'open', 'replaying', 'done', 'replayed_as_run', 'discarded')),
    error_class    text        NOT NULL,
    code           text        NOT NULL CHECK (length(code) <= 200),
    message        text        NOT NULL CHECK (length(message) <= 4000),
    attempt        integer     NOT NULL,
    edited         json,                                                   -- arguments that a person has given it
    replay_key     text        CHECK (length(replay_key) <= 100),
    as_run_id      text COLLATE "C" CHECK (length(as_run_id) <= 64),
    reason         text        CHECK (length(reason) <= 2000),
    failed_at      timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    sequence       bigint      NOT NULL,                                   -- of the failure: the cursor of lists
    stream_version bigint      NOT NULL,                                   -- last event folded in
    PRIMARY KEY (tenant_id, letter_id)
);
CREATE INDEX ON dead_letters (tenant_id, sequence, letter_id);
CREATE INDEX ON dead_letters (tenant_id, status, sequence, letter_id);
CREATE INDEX ON dead_letters (tenant_id, run_id);
ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE dead_letters FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON dead_letters USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON dead_letters TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON dead_letters TO fairlead_engine;
