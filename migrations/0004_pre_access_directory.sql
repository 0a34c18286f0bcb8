-- access_directory: who is in a tenant and what they hold, for lists and look-ups. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE tenants, workspaces, environments, principals, grants, api_keys.
SET LOCAL lock_timeout = '4s';

CREATE TABLE tenants (
    tenant_id      text COLLATE "C" PRIMARY KEY CHECK (length(tenant_id) BETWEEN 1 AND 64),
    name           text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    tool_cap       integer     NOT NULL DEFAULT 15 CHECK (tool_cap BETWEEN 1 AND 100),
    suspended_at   timestamptz,
    created_at     timestamptz NOT NULL,
    stream_version bigint      NOT NULL                                   -- last event folded in
);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON tenants USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON tenants TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON tenants TO fairlead_engine;

CREATE TABLE workspaces (
    tenant_id      text COLLATE "C" NOT NULL,
    workspace_id   text COLLATE "C" NOT NULL CHECK (length(workspace_id) BETWEEN 1 AND 64),
    name           text        NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    created_at     timestamptz NOT NULL,
    stream_version bigint      NOT NULL,
    PRIMARY KEY (tenant_id, workspace_id)
);
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY;
ALTER TABLE workspaces FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON workspaces USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON workspaces TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON workspaces TO fairlead_engine;

CREATE TABLE environments (
    tenant_id      text COLLATE "C" NOT NULL,
    environment_id text COLLATE "C" NOT NULL CHECK (length(environment_id) BETWEEN 1 AND 64),
    name           text        NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    kind           text        NOT NULL CHECK (kind IN ('live', 'test')),
    created_at     timestamptz NOT NULL,
    stream_version bigint      NOT NULL,
    PRIMARY KEY (tenant_id, environment_id)
);
ALTER TABLE environments ENABLE ROW LEVEL SECURITY;
ALTER TABLE environments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON environments USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON environments TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON environments TO fairlead_engine;

CREATE TABLE principals (
    tenant_id       text COLLATE "C" NOT NULL,
    principal_id    text COLLATE "C" NOT NULL CHECK (length(principal_id) BETWEEN 1 AND 64),
    kind            text        NOT NULL CHECK (kind IN ('person', 'service_account', 'agent')),
    name            text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    email           text        CHECK (length(email) <= 254),
    issuer          text        CHECK (length(issuer) <= 255),            -- with subject: the person at sign-in
    subject         text        CHECK (length(subject) <= 255),
    workflow_id     text COLLATE "C" CHECK (length(workflow_id) <= 64),   -- an agent's
    disabled_at     timestamptz,
    disabled_reason text        CHECK (length(disabled_reason) <= 500),
    created_at      timestamptz NOT NULL,
    stream_version  bigint      NOT NULL,
    PRIMARY KEY (tenant_id, principal_id)
);
CREATE UNIQUE INDEX ON principals (tenant_id, issuer, subject);
ALTER TABLE principals ENABLE ROW LEVEL SECURITY;
ALTER TABLE principals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON principals USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON principals TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON principals TO fairlead_engine;

CREATE TABLE grants (
    tenant_id      text COLLATE "C" NOT NULL,
    principal_id   text COLLATE "C" NOT NULL,
    role           text        NOT NULL
                   CHECK (role IN ('owner', 'admin', 'developer', 'operator', 'reviewer', 'auditor', 'agent')),
    workspace_id   text COLLATE "C" NOT NULL DEFAULT '',                  -- empty: all of them
    environment_id text COLLATE "C" NOT NULL DEFAULT '',                  -- empty: all of them
    held           boolean     NOT NULL,                                  -- false: withdrawn again
    changed_at     timestamptz NOT NULL,
    stream_version bigint      NOT NULL,
    PRIMARY KEY (tenant_id, principal_id, role, workspace_id, environment_id)
);
ALTER TABLE grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE grants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON grants USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON grants TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON grants TO fairlead_engine;

CREATE TABLE api_keys (
    tenant_id      text COLLATE "C" NOT NULL,
    key_hash       text COLLATE "C" NOT NULL CHECK (length(key_hash) = 64),
    key_id         text COLLATE "C" NOT NULL CHECK (length(key_id) BETWEEN 1 AND 64),
    principal_id   text COLLATE "C" NOT NULL,
    environment_id text COLLATE "C" NOT NULL,
    name           text        NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    last_four      text        NOT NULL CHECK (length(last_four) = 4),
    scopes         text[]      CHECK (cardinality(scopes) <= 100),         -- NULL: all that the principal may do
    issued_at      timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    revoked_at     timestamptz,
    revoked_reason text        CHECK (length(revoked_reason) <= 500),
    replaced_by    text COLLATE "C",
    stream_version bigint      NOT NULL,
    PRIMARY KEY (tenant_id, key_hash)
);
CREATE UNIQUE INDEX ON api_keys (tenant_id, key_id);
CREATE INDEX ON api_keys (tenant_id, principal_id);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON api_keys USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON api_keys TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON api_keys TO fairlead_engine;
