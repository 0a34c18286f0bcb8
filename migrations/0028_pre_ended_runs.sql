-- run_board: runs by the time of their end, to find those that are kept no longer.
-- Locks: run_board against writes while the index is built. Undo: DROP INDEX run_board_tenant_id_ended_at_idx.
SET LOCAL lock_timeout = '4s';

CREATE INDEX ON run_board (tenant_id, ended_at) WHERE ended_at IS NOT NULL;
