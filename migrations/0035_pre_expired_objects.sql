-- expiries: objects of the store go too.
-- Locks: expiries while its rows are looked through once. Undo: no row with `objects` may be left; put the check back.
SET LOCAL lock_timeout = '4s';

ALTER TABLE expiries DROP CONSTRAINT expiries_what_check;
ALTER TABLE expiries ADD CONSTRAINT expiries_what_check CHECK (what IN ('runs', 'accesses', 'objects'));
