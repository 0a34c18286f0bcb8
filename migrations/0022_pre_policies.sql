-- policies, policy_versions: every version of every policy, and which of them is in force. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE policies, policy_versions.
SET LOCAL lock_timeout = '4s';

CREATE TABLE policies (
    tenant_id        text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    policy_id        text COLLATE "C" NOT NULL CHECK (length(policy_id) BETWEEN 1 AND 64),
    workspace_id     text COLLATE "C" CHECK (length(workspace_id) BETWEEN 1 AND 64),   -- null: the tenant's policy
    workflow         text COLLATE "C" CHECK (length(workflow) BETWEEN 1 AND 63),       -- null: the workspace's policy
    newest_version   integer     NOT NULL DEFAULT 0 CHECK (newest_version >= 0),
    enforced_version integer     CHECK (enforced_version >= 1),
    tried_version    integer     CHECK (tried_version >= 1),
    chosen_at        timestamptz,
    chosen_by_kind   text        CHECK (chosen_by_kind IN ('person', 'service_account', 'agent', 'system')),
    chosen_by_id     text COLLATE "C",
    chosen_reason    text        CHECK (length(chosen_reason) <= 2000),
    stream_version   bigint      NOT NULL DEFAULT 0,                        -- last event of the policy folded in
    tenant_version   bigint      NOT NULL DEFAULT 0,                        -- last event of the tenant folded in
    PRIMARY KEY (tenant_id, policy_id),
    CHECK (workflow IS NULL OR workspace_id IS NOT NULL)
);
CREATE TABLE policy_versions (
    tenant_id     text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    policy_id     text COLLATE "C" NOT NULL CHECK (length(policy_id) BETWEEN 1 AND 64),
    version       integer     NOT NULL CHECK (version >= 1),
    document      jsonb       NOT NULL,
    document_hash text        NOT NULL CHECK (length(document_hash) = 64),
    author_kind   text        NOT NULL CHECK (author_kind IN ('person', 'service_account', 'agent', 'system')),
    author_id     text COLLATE "C" NOT NULL,
    reason        text        NOT NULL CHECK (length(reason) <= 2000),
    published_at  timestamptz NOT NULL,
    stream_version bigint     NOT NULL,                                     -- the event that says so
    PRIMARY KEY (tenant_id, policy_id, version)
);
ALTER TABLE policies ENABLE ROW LEVEL SECURITY;
ALTER TABLE policies FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON policies USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON policies TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON policies TO fairlead_engine;
ALTER TABLE policy_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE policy_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON policy_versions USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON policy_versions TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON policy_versions TO fairlead_engine;
