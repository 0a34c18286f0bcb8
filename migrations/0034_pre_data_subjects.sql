-- run_board: whom a run is about, so that an erasure finds its runs. Runs from before that are about nobody.
-- Locks: run_board for a moment. Undo: ALTER TABLE run_board DROP COLUMN data_subject.
SET LOCAL lock_timeout = '4s';

ALTER TABLE run_board
    ADD COLUMN data_subject text COLLATE "C" NOT NULL DEFAULT '' CHECK (length(data_subject) <= 64); -- a hash
CREATE INDEX ON run_board (tenant_id, data_subject, run_id) WHERE data_subject <> '';
