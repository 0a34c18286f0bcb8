-- approvals: other answers than yes and no, and how often it was escalated. Can be rebuilt from the log.
-- Locks: approvals, which is read once for the check. Undo: drop the column, and the check as in 0006.
SET LOCAL lock_timeout = '4s';

ALTER TABLE approvals
    ADD COLUMN level integer NOT NULL DEFAULT 0 CHECK (level >= 0),
    DROP CONSTRAINT approvals_status_check,
    ADD CONSTRAINT approvals_status_check CHECK (status IN (
        'pending', 'granted', 'denied', 'changes_requested', 'edited', 'expired', 'withdrawn'));
