-- cases: runs that people reported, for lists. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE cases.
SET LOCAL lock_timeout = '4s';

CREATE TABLE cases (
    tenant_id        text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    case_id          text COLLATE "C" NOT NULL CHECK (length(case_id) BETWEEN 1 AND 64),
    run_id           text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    workspace_id     text COLLATE "C" NOT NULL,
    environment_id   text COLLATE "C" NOT NULL,
    workflow_id      text COLLATE "C" NOT NULL,
    workflow_version integer     NOT NULL,
    label            text        NOT NULL CHECK (length(label) BETWEEN 1 AND 40),
    comment          text        NOT NULL CHECK (length(comment) <= 4000),
    call_id          text COLLATE "C" CHECK (length(call_id) <= 64),
    imported         boolean     NOT NULL,
    through          bigint      NOT NULL,                                 -- last place on the log that it speaks of
    bundle_sha256    text        NOT NULL CHECK (length(bundle_sha256) = 64),
    kept_at          timestamptz NOT NULL,
    kept_by          text COLLATE "C" NOT NULL,
    sequence         bigint      NOT NULL,                                 -- the cursor of lists
    PRIMARY KEY (tenant_id, case_id)
);
CREATE INDEX ON cases (tenant_id, sequence);
CREATE INDEX ON cases (tenant_id, run_id);
ALTER TABLE cases ENABLE ROW LEVEL SECURITY;
ALTER TABLE cases FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON cases USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON cases TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON cases TO fairlead_engine;
