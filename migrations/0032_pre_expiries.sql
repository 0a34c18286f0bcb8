-- ledger_commits: the body of a commit that has expired goes, its leaf stays. expiries: removals that have been begun.
-- Locks: ledger_commits while its columns are added and its rows are looked through once. Undo: no body that is gone comes
-- back; DROP TABLE expiries; DROP TRIGGER ledger_forgets_bodies ON ledger_commits; DROP FUNCTION ledger_forgets(), run_of(text, text).
SET LOCAL lock_timeout = '4s';

ALTER TABLE ledger_commits ALTER COLUMN body DROP NOT NULL;
ALTER TABLE ledger_commits
    ADD COLUMN leaf_text  bytea       CHECK (octet_length(leaf_text) <= 16777216), -- what is hashed, once the body is gone
    ADD COLUMN expired_by bigint,                                         -- place of the commit that says so
    ADD COLUMN expired_at timestamptz,
    ADD COLUMN at         timestamptz,                                    -- of the commit, once the body is gone
    ADD CHECK ((body IS NULL) = (leaf_text IS NOT NULL) AND (body IS NULL) = (expired_by IS NOT NULL));
CREATE INDEX ON ledger_commits (tenant_id, at, sequence) WHERE body IS NULL;

-- Whose content a commit is: an approval's id is its run's with a number.
CREATE FUNCTION run_of(kind text, stream_id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
SELECT CASE kind WHEN 'run' THEN stream_id
                 WHEN 'approval' THEN 'run_' || regexp_replace(
                     substr(stream_id, strpos(stream_id, '_') + 1), '-[^-]*$', '') END
$$;

-- The one change that a row can see: its body makes way for the text that its hash is of, because a commit of the ledger
-- itself says that it has expired. A run is said to have by the last event of its own stream, records of accesses by place.
CREATE FUNCTION ledger_forgets() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fact jsonb;
    told text;
BEGIN
    IF OLD.body IS NULL OR NEW.body IS NOT NULL OR NEW.leaf_text IS NULL OR NEW.expired_by IS NULL
       OR (NEW.tenant_id, NEW.leaf, NEW.shard, NEW.sequence, NEW.kind, NEW.stream_id, NEW.message_id, NEW.headers,
           NEW.claimed, NEW.hashes, NEW.kept_at)
          IS DISTINCT FROM
          (OLD.tenant_id, OLD.leaf, OLD.shard, OLD.sequence, OLD.kind, OLD.stream_id, OLD.message_id, OLD.headers,
           OLD.claimed, OLD.hashes, OLD.kept_at)
       OR sha256('\x00'::bytea || NEW.leaf_text) <> substring(OLD.hashes FROM 1 FOR 32) THEN
        RAISE EXCEPTION 'the ledger is only ever added to' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT convert_from(f.body, 'UTF8')::jsonb INTO fact
      FROM public.ledger_commits AS f
     WHERE f.tenant_id = OLD.tenant_id AND f.sequence = NEW.expired_by AND f.sequence > OLD.sequence
       AND ((f.kind = 'run' AND f.stream_id = public.run_of(OLD.kind, OLD.stream_id)) OR (f.kind = 'expiry' AND OLD.kind = 'access'));
    told := fact #>> '{events,0,type}';
    IF (told IS DISTINCT FROM 'run.content_expired.v1' OR OLD.kind = 'access')
       AND (told IS DISTINCT FROM 'expiry.accesses_begun.v1' OR OLD.kind <> 'access'
            OR NOT fact #> '{events,0,sequences}' @> to_jsonb(OLD.sequence)) THEN
        RAISE EXCEPTION 'nothing in the ledger says that this commit has expired' USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.expired_at := (fact ->> 'at')::timestamptz;
    NEW.at := (convert_from(NEW.leaf_text, 'UTF8')::jsonb #>> '{commit,at}')::timestamptz;
    RETURN NEW;
END
$$;
DROP TRIGGER ledger_keeps_rows ON ledger_commits;
CREATE TRIGGER ledger_keeps_rows BEFORE DELETE ON ledger_commits FOR EACH ROW EXECUTE FUNCTION ledger_keeps();
CREATE TRIGGER ledger_forgets_bodies BEFORE UPDATE ON ledger_commits FOR EACH ROW EXECUTE FUNCTION ledger_forgets();
GRANT UPDATE (body, leaf_text, expired_by) ON ledger_commits TO fairlead_engine;

CREATE TABLE expiries (
    tenant_id  text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    expiry_id  text COLLATE "C" NOT NULL CHECK (length(expiry_id) BETWEEN 1 AND 64),
    what       text        NOT NULL CHECK (what IN ('runs', 'accesses')),
    count      integer     NOT NULL CHECK (count >= 0),
    begun_at   timestamptz NOT NULL,
    sequence   bigint      NOT NULL CHECK (sequence > 0),
    removed_at timestamptz,                                               -- by whoever carried it out, to the end
    PRIMARY KEY (tenant_id, expiry_id)
);
CREATE INDEX ON expiries (tenant_id, sequence) WHERE removed_at IS NULL;
ALTER TABLE expiries ENABLE ROW LEVEL SECURITY;
ALTER TABLE expiries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON expiries USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON expiries TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON expiries TO fairlead_engine;
