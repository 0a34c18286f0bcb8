-- approvals: which places hold values that not every reviewer sees. Can be rebuilt from the log.
-- Locks: approvals, for a moment. Undo: drop the column.
SET LOCAL lock_timeout = '4s';

ALTER TABLE approvals ADD COLUMN sensitive text[] NOT NULL DEFAULT '{}';
