-- vault_secrets: what connections and OAuth clients keep secret, each sealed under a key of its own. Not in the log, so
-- it cannot be rebuilt: it is part of every backup, the keys that wrap are not.
-- Locks: nothing existing. Undo: DROP TABLE vault_secrets.
SET LOCAL lock_timeout = '4s';

CREATE TABLE vault_secrets (
    tenant_id    text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    holder_id    text COLLATE "C" NOT NULL CHECK (length(holder_id) BETWEEN 1 AND 64),
    version      bigint      NOT NULL CHECK (version >= 1),                -- goes on when the secret is erased
    key_id       text COLLATE "C" CHECK (length(key_id) BETWEEN 1 AND 200), -- what wrapped the secret's key
    wrapped_key  bytea       CHECK (octet_length(wrapped_key) <= 4096),
    nonce        bytea       CHECK (octet_length(nonce) = 12),
    body         bytea       CHECK (octet_length(body) <= 65552),          -- 64 KiB and the tag of 16
    fence        bigint      NOT NULL DEFAULT 0 CHECK (fence >= 0),        -- turns given to replace it so far
    leased_until timestamptz,                                              -- of the turn that is under way
    changed_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, holder_id),
    CHECK (num_nulls(key_id, wrapped_key, nonce, body) IN (0, 4))          -- all there, or erased
);
CREATE INDEX ON vault_secrets (tenant_id, key_id, holder_id);
ALTER TABLE vault_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON vault_secrets USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT, INSERT, UPDATE ON vault_secrets TO fairlead_app;             -- no consumer has any business here
