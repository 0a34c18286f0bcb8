-- accesses: who looked at what, for auditors. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE accesses.
SET LOCAL lock_timeout = '4s';

CREATE TABLE accesses (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    sequence       bigint      NOT NULL,                                   -- with `index` its place on the log
    index          integer     NOT NULL CHECK (index >= 0),
    at             timestamptz NOT NULL,
    access         text        NOT NULL CHECK (length(access) BETWEEN 1 AND 20),
    principal_id   text COLLATE "C" NOT NULL CHECK (length(principal_id) BETWEEN 1 AND 64),
    principal_kind text        NOT NULL CHECK (principal_kind IN ('person', 'service_account', 'agent')),
    key_id         text COLLATE "C" CHECK (length(key_id) <= 64),
    environment_id text COLLATE "C" CHECK (length(environment_id) <= 64),  -- of the key
    route          text        NOT NULL CHECK (length(route) <= 200),
    object         text COLLATE "C" NOT NULL CHECK (length(object) <= 300),
    query          text        NOT NULL CHECK (length(query) <= 500),
    trace_id       text        CHECK (length(trace_id) <= 64),
    PRIMARY KEY (tenant_id, sequence, index)
);
CREATE INDEX ON accesses (tenant_id, principal_id, sequence, index);
CREATE INDEX ON accesses (tenant_id, object, sequence, index);
CREATE INDEX ON accesses (tenant_id, at);
ALTER TABLE accesses ENABLE ROW LEVEL SECURITY;
ALTER TABLE accesses FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON accesses USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON accesses TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON accesses TO fairlead_engine;
