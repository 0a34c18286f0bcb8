-- ledger_commits, ledger_trees, ledger_heads, ledger_state: a second copy of every commit, the Merkle tree of each tenant over
-- it, and the heads of that tree that were signed. Not a read model: `fairlead rebuild` does not know it.
-- Locks: nothing existing. Undo: DROP TABLE ledger_commits, ledger_trees, ledger_heads, ledger_state; DROP FUNCTION ledger_keeps().
SET LOCAL lock_timeout = '4s';

-- What is in the ledger stays as it is, whoever asks, the owner of the table included.
CREATE FUNCTION ledger_keeps() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is only ever added to' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TABLE ledger_commits (
    tenant_id  text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    leaf       bigint      NOT NULL CHECK (leaf >= 0),                           -- place in the tenant's tree
    shard      smallint    NOT NULL CHECK (shard >= 0),
    sequence   bigint      NOT NULL CHECK (sequence > 0),                        -- place on the log
    kind       text COLLATE "C" NOT NULL CHECK (length(kind) BETWEEN 1 AND 200),
    stream_id  text COLLATE "C" NOT NULL CHECK (length(stream_id) BETWEEN 1 AND 200),
    message_id text COLLATE "C" NOT NULL CHECK (length(message_id) <= 200),
    headers    bytea       NOT NULL CHECK (octet_length(headers) <= 65536),
    claimed    boolean     NOT NULL,                                             -- the body lay beside the message
    body       bytea       NOT NULL CHECK (octet_length(body) <= 16777216),
    hashes     bytea       NOT NULL CHECK (octet_length(hashes) BETWEEN 32 AND 2048), -- the leaf, and nodes whole with it
    kept_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, leaf)
);
CREATE UNIQUE INDEX ON ledger_commits (tenant_id, sequence);
ALTER TABLE ledger_commits ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_commits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON ledger_commits USING (tenant_id = (SELECT app_tenant()));
-- `fairlead ledger check` and `restore` hold a whole shard against the log, in its order: no other role may.
CREATE POLICY ledger_is_compared ON ledger_commits FOR SELECT TO fairlead_owner USING (true);
CREATE TRIGGER ledger_keeps_rows BEFORE UPDATE OR DELETE ON ledger_commits FOR EACH ROW EXECUTE FUNCTION ledger_keeps();
CREATE TRIGGER ledger_keeps_all BEFORE TRUNCATE ON ledger_commits FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();
GRANT SELECT ON ledger_commits TO fairlead_app;
GRANT SELECT, INSERT ON ledger_commits TO fairlead_engine;

-- How large each tree is, and the roots of its complete parts: follows from the rows above. Ids and hashes only: who keeps
-- the ledger serves all tenants at once and sees all of them.
CREATE TABLE ledger_trees (
    tenant_id   text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    shard       smallint NOT NULL CHECK (shard >= 0),
    size        bigint   NOT NULL CHECK (size > 0),
    signed_size bigint   NOT NULL DEFAULT 0 CHECK (signed_size BETWEEN 0 AND size),
    sequence    bigint   NOT NULL CHECK (sequence > 0),                          -- of the last leaf
    peaks       bytea    NOT NULL CHECK (octet_length(peaks) BETWEEN 32 AND 2048),
    PRIMARY KEY (tenant_id)
) WITH (fillfactor = 50);
ALTER TABLE ledger_trees ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_trees FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON ledger_trees USING (tenant_id = (SELECT app_tenant()));
CREATE POLICY ledger_sees_all ON ledger_trees FOR SELECT TO fairlead_engine, fairlead_owner USING (true);
GRANT SELECT ON ledger_trees TO fairlead_app;
GRANT SELECT, INSERT, UPDATE ON ledger_trees TO fairlead_engine;

CREATE TABLE ledger_heads (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    size      bigint      NOT NULL CHECK (size >= 0),
    at        timestamptz NOT NULL,
    root      bytea       NOT NULL CHECK (octet_length(root) = 32),
    key_id    text COLLATE "C" NOT NULL CHECK (length(key_id) BETWEEN 1 AND 64),
    signature bytea       NOT NULL CHECK (octet_length(signature) = 64),
    PRIMARY KEY (tenant_id, size, at)
);
ALTER TABLE ledger_heads ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_heads FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON ledger_heads USING (tenant_id = (SELECT app_tenant()));
CREATE TRIGGER ledger_keeps_rows BEFORE UPDATE OR DELETE ON ledger_heads FOR EACH ROW EXECUTE FUNCTION ledger_keeps();
CREATE TRIGGER ledger_keeps_all BEFORE TRUNCATE ON ledger_heads FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps();
GRANT SELECT, INSERT ON ledger_heads TO fairlead_app, fairlead_engine;

-- What the keeper of a shard found: the position is in projection_positions, under the name `ledger`.
CREATE TABLE ledger_state (
    shard       smallint    NOT NULL PRIMARY KEY CHECK (shard >= 0),
    last_sha256 bytea       CHECK (octet_length(last_sha256) = 32),              -- of the body at the position
    missing     bigint      NOT NULL DEFAULT 0 CHECK (missing >= 0),             -- commits that the log had lost before
    halted      text        CHECK (length(halted) <= 500),                       -- why nothing is kept at the moment
    changed_at  timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON ledger_state TO fairlead_app;
GRANT SELECT, INSERT, UPDATE ON ledger_state TO fairlead_engine;
