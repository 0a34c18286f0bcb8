-- idempotency: requests that carried an idempotency key, and the answers to them. Belongs to the API alone and is in no
-- log: without it a repeated request would be a new one. Rows count for 24 hours and are deleted as the tenant goes on.
-- Locks: nothing existing. Undo: DROP TABLE idempotency.
SET LOCAL lock_timeout = '4s';

CREATE TABLE idempotency (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    principal_id   text COLLATE "C" NOT NULL CHECK (length(principal_id) BETWEEN 1 AND 64),
    key_sha256     bytea       NOT NULL CHECK (length(key_sha256) = 32),
    request_sha256 bytea       NOT NULL CHECK (length(request_sha256) = 32),  -- method, path, query and body
    command_id     text COLLATE "C" NOT NULL CHECK (length(command_id) BETWEEN 1 AND 64),
    created_at     timestamptz NOT NULL DEFAULT now(),
    lease_until    timestamptz NOT NULL,                                      -- who works on it has until then
    status         smallint    CHECK (status BETWEEN 200 AND 399),            -- NULL: not answered yet
    headers        jsonb       CHECK (length(headers::text) <= 8192),
    body           bytea       CHECK (length(body) <= 1048576),               -- NULL: was too large to keep
    PRIMARY KEY (tenant_id, principal_id, key_sha256)
);
CREATE INDEX ON idempotency (tenant_id, created_at);
ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON idempotency USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency TO fairlead_app;
