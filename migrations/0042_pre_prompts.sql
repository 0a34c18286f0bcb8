-- prompts, prompt_versions: every version of every prompt of a workspace. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE prompts, prompt_versions.
SET LOCAL lock_timeout = '4s';

CREATE TABLE prompts (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    prompt_id      text COLLATE "C" NOT NULL CHECK (length(prompt_id) BETWEEN 1 AND 64),
    workspace_id   text COLLATE "C" NOT NULL CHECK (length(workspace_id) BETWEEN 1 AND 64),
    name           text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    newest_version integer     NOT NULL CHECK (newest_version >= 1),
    description    text        NOT NULL CHECK (length(description) <= 1000),
    changed_at     timestamptz NOT NULL,
    changed_by_kind text       NOT NULL CHECK (changed_by_kind IN ('person', 'service_account', 'agent', 'system')),
    changed_by_id  text COLLATE "C" NOT NULL,
    stream_version bigint      NOT NULL,                                            -- last event folded in
    PRIMARY KEY (tenant_id, prompt_id)
);
CREATE TABLE prompt_versions (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    prompt_id      text COLLATE "C" NOT NULL CHECK (length(prompt_id) BETWEEN 1 AND 64),
    version        integer     NOT NULL CHECK (version >= 1),
    document       jsonb       NOT NULL,
    document_hash  text        NOT NULL CHECK (length(document_hash) = 64),
    author_kind    text        NOT NULL CHECK (author_kind IN ('person', 'service_account', 'agent', 'system')),
    author_id      text COLLATE "C" NOT NULL,
    reason         text        NOT NULL CHECK (length(reason) <= 2000),
    restores       integer     CHECK (restores >= 1),
    published_at   timestamptz NOT NULL,
    stream_version bigint      NOT NULL,                                            -- the event that says so
    PRIMARY KEY (tenant_id, prompt_id, version)
);
ALTER TABLE prompts ENABLE ROW LEVEL SECURITY;
ALTER TABLE prompts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON prompts USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON prompts TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON prompts TO fairlead_engine;
ALTER TABLE prompt_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE prompt_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON prompt_versions USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON prompt_versions TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON prompt_versions TO fairlead_engine;
