-- connections, oauth_clients, connection_uses, vault_slips: which accounts there are, who we are at their providers, and
-- which calls used them. Can be rebuilt from the log, but for vault_slips: it holds what a sign-in needs for minutes.
-- Locks: nothing existing. Undo: DROP TABLE connections, oauth_clients, connection_uses, vault_slips.
SET LOCAL lock_timeout = '4s';

CREATE TABLE connections (
    tenant_id        text COLLATE "C" NOT NULL,
    connection_id    text COLLATE "C" NOT NULL CHECK (length(connection_id) BETWEEN 1 AND 64),
    workspace_id     text COLLATE "C" NOT NULL CHECK (length(workspace_id) BETWEEN 1 AND 64),
    environment_id   text COLLATE "C" NOT NULL CHECK (length(environment_id) BETWEEN 1 AND 64),
    connector        text COLLATE "C" NOT NULL CHECK (length(connector) BETWEEN 1 AND 64),
    name             text        NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    auth             text        NOT NULL CHECK (auth IN ('none', 'api_key', 'basic', 'oauth2')),
    oauth_grant      text        CHECK (length(oauth_grant) <= 64),
    config           jsonb       NOT NULL,
    requested        text[]      NOT NULL CHECK (cardinality(requested) <= 200),
    granted          text[]      NOT NULL DEFAULT '{}' CHECK (cardinality(granted) <= 200),
    standing         text        NOT NULL CHECK (standing IN ('new', 'connected', 'reconnect_needed', 'revoked', 'deleted')),
    reason           text        NOT NULL DEFAULT '' CHECK (length(reason) <= 500),
    secret_version   bigint      NOT NULL DEFAULT 0,
    expires_at       timestamptz,                                          -- of the credential that is lent now
    authorized_at    timestamptz,
    authorized_by    text COLLATE "C" CHECK (length(authorized_by) <= 64),
    created_at       timestamptz NOT NULL,
    created_by       text COLLATE "C" NOT NULL CHECK (length(created_by) <= 64),
    created_sequence bigint      NOT NULL,                                 -- orders the list
    changed_at       timestamptz NOT NULL,
    stream_version   bigint      NOT NULL,                                 -- last event folded in
    PRIMARY KEY (tenant_id, connection_id)
);
CREATE UNIQUE INDEX ON connections (tenant_id, created_sequence);
CREATE INDEX ON connections (tenant_id, workspace_id, environment_id, connector);
ALTER TABLE connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE connections FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON connections USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON connections TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON connections TO fairlead_engine;

CREATE TABLE oauth_clients (
    tenant_id        text COLLATE "C" NOT NULL,
    oauth_client_id  text COLLATE "C" NOT NULL CHECK (length(oauth_client_id) BETWEEN 1 AND 64),
    workspace_id     text COLLATE "C" NOT NULL CHECK (length(workspace_id) BETWEEN 1 AND 64),
    environment_id   text COLLATE "C" NOT NULL CHECK (length(environment_id) BETWEEN 1 AND 64),
    connector        text COLLATE "C" NOT NULL CHECK (length(connector) BETWEEN 1 AND 64),
    client_id        text        NOT NULL CHECK (length(client_id) BETWEEN 1 AND 500),
    has_secret       boolean     NOT NULL,
    registered_at    timestamptz NOT NULL,
    registered_by    text COLLATE "C" NOT NULL CHECK (length(registered_by) <= 64),
    removed_at       timestamptz,
    stream_version   bigint      NOT NULL,
    PRIMARY KEY (tenant_id, oauth_client_id)
);
ALTER TABLE oauth_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_clients FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON oauth_clients USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON oauth_clients TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON oauth_clients TO fairlead_engine;

CREATE TABLE connection_uses (
    tenant_id      text COLLATE "C" NOT NULL,
    connection_id  text COLLATE "C" NOT NULL CHECK (length(connection_id) BETWEEN 1 AND 64),
    lent_at        timestamptz NOT NULL,
    place          bigint      NOT NULL,                                   -- on the log: sequence * 1000 + index
    lent_until     timestamptz NOT NULL,
    secret_version bigint      NOT NULL,
    tool           text        NOT NULL CHECK (length(tool) <= 128),
    scopes         text[]      NOT NULL CHECK (cardinality(scopes) <= 200),
    run_id         text COLLATE "C" NOT NULL CHECK (length(run_id) <= 64),
    call_id        text COLLATE "C" NOT NULL CHECK (length(call_id) <= 128),
    attempt        integer     NOT NULL CHECK (attempt >= 1),
    purpose        text        NOT NULL CHECK (length(purpose) <= 32),
    worker         text        NOT NULL CHECK (length(worker) <= 200),
    PRIMARY KEY (tenant_id, connection_id, lent_at, place)                 -- 'which calls used it since' reads this
);
ALTER TABLE connection_uses ENABLE ROW LEVEL SECURITY;
ALTER TABLE connection_uses FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON connection_uses USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON connection_uses TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON connection_uses TO fairlead_engine;

-- What is kept between the two halves of a sign-in. Not in the log: it lives for minutes.
CREATE TABLE vault_slips (
    tenant_id    text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    name_sha256  bytea       NOT NULL CHECK (octet_length(name_sha256) = 32),
    wrapped_key  bytea       NOT NULL CHECK (octet_length(wrapped_key) <= 4096),
    nonce        bytea       NOT NULL CHECK (octet_length(nonce) = 12),
    body         bytea       NOT NULL CHECK (octet_length(body) <= 65552),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, name_sha256)
);
CREATE INDEX ON vault_slips (tenant_id, expires_at);
ALTER TABLE vault_slips ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_slips FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON vault_slips USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON vault_slips TO fairlead_app;
