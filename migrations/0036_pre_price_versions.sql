-- price_versions: every version of each tenant's own prices. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE price_versions.
SET LOCAL lock_timeout = '4s';

CREATE TABLE price_versions (
    tenant_id     text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    version       integer     NOT NULL CHECK (version >= 1),
    document      jsonb       NOT NULL,
    document_hash text        NOT NULL CHECK (length(document_hash) = 64),
    author_kind   text        NOT NULL CHECK (author_kind IN ('person', 'service_account', 'agent', 'system')),
    author_id     text COLLATE "C" NOT NULL,
    reason        text        NOT NULL CHECK (length(reason) <= 2000),
    published_at  timestamptz NOT NULL,
    stream_version bigint     NOT NULL,                                     -- the event that says so
    PRIMARY KEY (tenant_id, version)
);
ALTER TABLE price_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE price_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON price_versions USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON price_versions TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON price_versions TO fairlead_engine;
