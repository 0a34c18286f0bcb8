-- approvals: who looks into one, and until when. Can be rebuilt from the log.
-- Locks: approvals, for a moment. Undo: drop the columns.
SET LOCAL lock_timeout = '4s';

ALTER TABLE approvals
    ADD COLUMN claimed_by    text COLLATE "C" CHECK (length(claimed_by) <= 64),
    ADD COLUMN claimed_until timestamptz;
