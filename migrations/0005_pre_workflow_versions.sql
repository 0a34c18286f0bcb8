-- workflows, workflow_versions: what can be started, and every document ever published. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE workflows, workflow_versions.
SET LOCAL lock_timeout = '4s';

CREATE TABLE workflows (
    tenant_id        text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    workflow_id      text COLLATE "C" NOT NULL CHECK (length(workflow_id) BETWEEN 1 AND 64),
    workspace_id     text COLLATE "C" NOT NULL CHECK (length(workspace_id) BETWEEN 1 AND 64),
    name             text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    newest_version   integer     NOT NULL CHECK (newest_version >= 1),
    archived_at      timestamptz,
    created_sequence bigint      NOT NULL,
    updated_at       timestamptz NOT NULL,
    stream_version   bigint      NOT NULL,                                -- last event folded in
    PRIMARY KEY (tenant_id, workflow_id)
);
CREATE UNIQUE INDEX ON workflows (tenant_id, workspace_id, name);
CREATE INDEX ON workflows (tenant_id, created_sequence);
ALTER TABLE workflows ENABLE ROW LEVEL SECURITY;
ALTER TABLE workflows FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON workflows USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON workflows TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON workflows TO fairlead_engine;

CREATE TABLE workflow_versions (
    tenant_id          text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    workflow_id        text COLLATE "C" NOT NULL CHECK (length(workflow_id) BETWEEN 1 AND 64),
    version            integer     NOT NULL CHECK (version >= 1),
    document           jsonb       NOT NULL,
    document_hash      text        NOT NULL CHECK (length(document_hash) <= 100),
    tool_versions      jsonb       NOT NULL,
    agent_principal_id text COLLATE "C" NOT NULL,
    author_kind        text        NOT NULL CHECK (author_kind IN ('person', 'service_account', 'agent', 'system')),
    author_id          text COLLATE "C" NOT NULL,
    reason             text        NOT NULL CHECK (length(reason) <= 2000),
    published_at       timestamptz NOT NULL,
    sequence           bigint      NOT NULL,
    PRIMARY KEY (tenant_id, workflow_id, version)
);
ALTER TABLE workflow_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE workflow_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON workflow_versions USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON workflow_versions TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON workflow_versions TO fairlead_engine;
