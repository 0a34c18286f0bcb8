-- content_keys: what the content of commits is sealed under, one key for each data subject of a tenant and one for the
-- tenant. Not in the log, so it cannot be rebuilt: it is part of every backup, the keys that wrap are not.
-- Locks: dead_letters and cases for a moment, whose texts may now be boxes. Undo: DROP TABLE content_keys.
SET LOCAL lock_timeout = '4s';

CREATE TABLE content_keys (
    tenant_id       text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    key_id          text COLLATE "C" NOT NULL CHECK (length(key_id) BETWEEN 1 AND 64),
    subject         text COLLATE "C" NOT NULL CHECK (length(subject) <= 64),       -- a hash; '' is the tenant itself
    wrapping_key_id text COLLATE "C" CHECK (length(wrapping_key_id) BETWEEN 1 AND 200),
    wrapped_key     bytea       CHECK (octet_length(wrapped_key) <= 4096),
    made_at         timestamptz NOT NULL DEFAULT now(),
    destroyed_at    timestamptz,
    PRIMARY KEY (tenant_id, key_id),
    CHECK (num_nulls(wrapping_key_id, wrapped_key) = CASE WHEN destroyed_at IS NULL THEN 0 ELSE 2 END)
);
CREATE UNIQUE INDEX ON content_keys (tenant_id, subject) WHERE destroyed_at IS NULL; -- makers at once make one
CREATE INDEX ON content_keys (tenant_id, wrapping_key_id, key_id);
ALTER TABLE content_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE content_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON content_keys USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT, INSERT, UPDATE ON content_keys TO fairlead_app;              -- no consumer has any business here

-- A box is longer than what is in it.
ALTER TABLE dead_letters
    DROP CONSTRAINT dead_letters_message_check,
    ADD CONSTRAINT dead_letters_message_check CHECK (length(message) <= 40000) NOT VALID,
    DROP CONSTRAINT dead_letters_reason_check,
    ADD CONSTRAINT dead_letters_reason_check CHECK (length(reason) <= 20000) NOT VALID;
ALTER TABLE cases
    DROP CONSTRAINT cases_comment_check,
    ADD CONSTRAINT cases_comment_check CHECK (length(comment) <= 20000) NOT VALID;
