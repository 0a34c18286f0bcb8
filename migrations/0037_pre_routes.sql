-- routes, route_versions: every version of every route of models. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE routes, route_versions.
SET LOCAL lock_timeout = '4s';

CREATE TABLE routes (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    route_id       text COLLATE "C" NOT NULL CHECK (length(route_id) BETWEEN 1 AND 64),
    name           text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    newest_version integer     NOT NULL CHECK (newest_version >= 1),
    title          text        NOT NULL CHECK (length(title) <= 200),
    retired_reason text        CHECK (length(retired_reason) <= 2000),                  -- null: it is in use
    changed_at     timestamptz NOT NULL,
    changed_by_kind text       NOT NULL CHECK (changed_by_kind IN ('person', 'service_account', 'agent', 'system')),
    changed_by_id  text COLLATE "C" NOT NULL,
    stream_version bigint      NOT NULL,                                            -- last event folded in
    PRIMARY KEY (tenant_id, route_id),
    UNIQUE (tenant_id, name)
);
CREATE TABLE route_versions (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    route_id       text COLLATE "C" NOT NULL CHECK (length(route_id) BETWEEN 1 AND 64),
    version        integer     NOT NULL CHECK (version >= 1),
    document       jsonb       NOT NULL,
    document_hash  text        NOT NULL CHECK (length(document_hash) = 64),
    author_kind    text        NOT NULL CHECK (author_kind IN ('person', 'service_account', 'agent', 'system')),
    author_id      text COLLATE "C" NOT NULL,
    reason         text        NOT NULL CHECK (length(reason) <= 2000),
    restores       integer     CHECK (restores >= 1),
    published_at   timestamptz NOT NULL,
    stream_version bigint      NOT NULL,                                            -- the event that says so
    PRIMARY KEY (tenant_id, route_id, version)
);
ALTER TABLE routes ENABLE ROW LEVEL SECURITY;
ALTER TABLE routes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON routes USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON routes TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON routes TO fairlead_engine;
ALTER TABLE route_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE route_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON route_versions USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON route_versions TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON route_versions TO fairlead_engine;
