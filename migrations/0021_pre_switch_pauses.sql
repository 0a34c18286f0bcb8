-- switch_pauses: runs that a switch has paused, to go on when it is released. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE switch_pauses.
SET LOCAL lock_timeout = '4s';

-- Ids only: whoever lets runs go on serves all tenants at once, so the engine's role, and no other, may see all rows. It
-- adds and removes them inside the fence only.
CREATE TABLE switch_pauses (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    run_id         text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    switch         text        NOT NULL CHECK (length(switch) BETWEEN 1 AND 300),
    stream_version bigint      NOT NULL,                                  -- last event folded in
    PRIMARY KEY (tenant_id, run_id)
);
ALTER TABLE switch_pauses ENABLE ROW LEVEL SECURITY;
ALTER TABLE switch_pauses FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON switch_pauses USING (tenant_id = (SELECT app_tenant()));
CREATE POLICY keeper_sees_all ON switch_pauses FOR SELECT TO fairlead_engine USING (true);
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON switch_pauses TO fairlead_engine;
