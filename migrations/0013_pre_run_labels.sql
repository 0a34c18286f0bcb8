-- run_labels: what runs are found and signalled by; a part of the projection run_board. Its key is the list: a label's
-- runs in the order in which they began. Runs that the previous release starts from here on are found by label after
-- `fairlead rebuild run_board`.
-- Locks: run_board, for as long as the labels of its rows are copied. Undo: DROP TABLE run_labels.
SET LOCAL lock_timeout = '4s';

CREATE TABLE run_labels (
    tenant_id        text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    key              text COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 100),
    value            text COLLATE "C" NOT NULL CHECK (length(value) BETWEEN 1 AND 400),
    started_sequence bigint NOT NULL CHECK (started_sequence > 0),       -- of the commit that began the run
    run_id           text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    PRIMARY KEY (tenant_id, key, value, started_sequence) INCLUDE (run_id)
);

-- The owner of run_board is fenced too, and there is no tenant here.
ALTER TABLE run_board NO FORCE ROW LEVEL SECURITY;
INSERT INTO run_labels (tenant_id, key, value, started_sequence, run_id)
SELECT b.tenant_id, l.key, l.value, b.started_sequence, b.run_id
  FROM run_board AS b, jsonb_each_text(b.labels) AS l;
ALTER TABLE run_board FORCE ROW LEVEL SECURITY;

ALTER TABLE run_labels ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_labels FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON run_labels USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON run_labels TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON run_labels TO fairlead_engine;
