-- breakers: where each breaker stands that ever opened, for GET /v1/breakers. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE breakers.
SET LOCAL lock_timeout = '4s';

CREATE TABLE breakers (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    breaker_id     text COLLATE "C" NOT NULL CHECK (length(breaker_id) BETWEEN 1 AND 200),
    environment_id text COLLATE "C" NOT NULL CHECK (length(environment_id) BETWEEN 1 AND 64),
    connector      text        NOT NULL CHECK (length(connector) <= 64),
    connection_id  text        CHECK (length(connection_id) <= 64),
    state          text        NOT NULL CHECK (state IN ('open', 'half_open', 'closed')),
    openings       integer     NOT NULL CHECK (openings > 0),
    in_a_row       integer     NOT NULL CHECK (in_a_row > 0),
    failures       integer     NOT NULL CHECK (failures > 0),              -- of the last opening
    calls          integer     NOT NULL CHECK (calls >= failures),
    error_class    text        NOT NULL CHECK (length(error_class) <= 64),
    error_code     text        NOT NULL CHECK (length(error_code) <= 200),
    opened_at      timestamptz NOT NULL,
    probe_at       timestamptz NOT NULL,
    closed_by      text        CHECK (closed_by IN ('probe', 'person')),
    reason         text        CHECK (length(reason) <= 2000),
    changed_at     timestamptz NOT NULL,
    first_sequence bigint      NOT NULL,                                   -- of its first opening: the cursor of lists
    stream_version bigint      NOT NULL,                                   -- last event folded in
    PRIMARY KEY (tenant_id, breaker_id)
);
CREATE INDEX ON breakers (tenant_id, first_sequence);
ALTER TABLE breakers ENABLE ROW LEVEL SECURITY;
ALTER TABLE breakers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON breakers USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON breakers TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON breakers TO fairlead_engine;
