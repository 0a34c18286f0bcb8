-- run_commits by place on the log: a tenant's live stream catches up in that order, and exports go on after a position.
-- Locks: run_commits against writing while the index is built. Undo: DROP INDEX run_commits_tenant_id_sequence_idx.
SET LOCAL lock_timeout = '4s';

CREATE UNIQUE INDEX ON run_commits (tenant_id, sequence);
