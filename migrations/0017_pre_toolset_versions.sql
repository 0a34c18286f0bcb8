-- toolset_versions: every version of every set of tools that a tenant imported. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE toolset_versions.
SET LOCAL lock_timeout = '4s';

CREATE TABLE toolset_versions (
    tenant_id         text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    name              text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 32),
    version           integer     NOT NULL CHECK (version >= 1),
    title             text        NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    importer          text        NOT NULL CHECK (length(importer) BETWEEN 1 AND 32),
    importer_version  text        NOT NULL CHECK (length(importer_version) <= 100),
    source_sha256     text        NOT NULL CHECK (length(source_sha256) = 64),
    definition_sha256 text        NOT NULL CHECK (length(definition_sha256) = 64),
    tools_by_effect   jsonb       NOT NULL,
    left_out          integer     NOT NULL CHECK (left_out >= 0),
    author_kind       text        NOT NULL CHECK (author_kind IN ('person', 'service_account', 'agent', 'system')),
    author_id         text COLLATE "C" NOT NULL,
    reason            text        NOT NULL CHECK (length(reason) <= 2000),
    imported_at       timestamptz NOT NULL,
    stream_version    bigint      NOT NULL,                                -- the event that says so
    PRIMARY KEY (tenant_id, name, version)
);
ALTER TABLE toolset_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE toolset_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON toolset_versions USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON toolset_versions TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON toolset_versions TO fairlead_engine;
