-- run_board: what runs have asked of models, and what that used and cost. run_waits: model calls without an outcome.
-- Locks: run_board and run_waits for a moment; constant defaults rewrite nothing, and the new check is not looked up.
-- Undo: ALTER TABLE run_board DROP COLUMN model_calls, DROP COLUMN tokens, DROP COLUMN cost_usd_micros.
SET LOCAL lock_timeout = '4s';
ALTER TABLE run_board
    ADD COLUMN model_calls     integer NOT NULL DEFAULT 0 CHECK (model_calls >= 0),
    ADD COLUMN tokens          bigint  NOT NULL DEFAULT 0 CHECK (tokens >= 0),
    ADD COLUMN cost_usd_micros bigint  NOT NULL DEFAULT 0 CHECK (cost_usd_micros >= 0);  -- of model calls
ALTER TABLE run_waits
    DROP CONSTRAINT run_waits_what_check,
    ADD CONSTRAINT run_waits_what_check
        CHECK (what IN ('question', 'signal', 'time', 'early_signal', 'model')) NOT VALID;
