-- run_board: runs by the time of their start, for reports over a span.
-- Locks: run_board against writes while the index is built. Undo: DROP INDEX run_board_tenant_id_started_at_idx.
SET LOCAL lock_timeout = '4s';

CREATE INDEX ON run_board (tenant_id, started_at);
