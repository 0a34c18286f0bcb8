-- projection_positions: how far each projection has folded the log; updated in the transaction of its rows.
-- parked_commits: commits that a projection or process manager could not deal with, until they are replayed.
-- Locks: nothing existing. Undo: DROP TABLE parked_commits, projection_positions; DROP SCHEMA rebuild.
SET LOCAL lock_timeout = '4s';

CREATE TABLE projection_positions (
    shard      smallint    NOT NULL CHECK (shard >= 0),
    name       text        NOT NULL CHECK (length(name) BETWEEN 1 AND 60),
    build      integer     NOT NULL DEFAULT 1 CHECK (build >= 1),       -- a rebuild makes the next one
    sequence   bigint      NOT NULL DEFAULT 0 CHECK (sequence >= 0),    -- last commit folded in
    parked     integer     NOT NULL DEFAULT 0 CHECK (parked >= 0),      -- its commits in parked_commits
    folded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, name)
) WITH (fillfactor = 20);                                               -- a few rows, rewritten all the time
GRANT SELECT ON projection_positions TO fairlead_app;
GRANT SELECT, INSERT, UPDATE ON projection_positions TO fairlead_engine;

CREATE TABLE parked_commits (
    tenant_id   text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    name        text        NOT NULL CHECK (length(name) BETWEEN 1 AND 60),       -- who could not deal with it
    build       integer     NOT NULL CHECK (build >= 0),                         -- rows of older builds are void
    sequence    bigint      NOT NULL CHECK (sequence > 0),                       -- the body is on the log, there
    shard       smallint    NOT NULL CHECK (shard >= 0),
    kind        text COLLATE "C" NOT NULL CHECK (length(kind) BETWEEN 1 AND 32),
    stream_id   text COLLATE "C" NOT NULL CHECK (length(stream_id) BETWEEN 1 AND 64),
    error_class text        NOT NULL CHECK (length(error_class) <= 200),         -- 'Follows' when only its stream is held
    message     text        NOT NULL CHECK (length(message) <= 2000),
    parked_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name, build, sequence)
);
ALTER TABLE parked_commits ENABLE ROW LEVEL SECURITY;
ALTER TABLE parked_commits FORCE ROW LEVEL SECURITY;    -- the owner is fenced too
CREATE POLICY tenant_fence ON parked_commits USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON parked_commits TO fairlead_app;
GRANT SELECT, INSERT, DELETE ON parked_commits TO fairlead_engine;

-- Where `fairlead rebuild` builds tables before it puts them in place. Only the owner can see it.
CREATE SCHEMA rebuild;
