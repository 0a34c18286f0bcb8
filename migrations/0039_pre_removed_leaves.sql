-- ledger_commits: leaves that are kept no longer go, as a commit of the ledger says. ledger_nodes: the nodes of their trees that
-- proofs of what remains are made of. Not a read model.
-- Locks: ledger_commits while its trigger is changed. Undo: no leaf comes back; DROP TABLE ledger_nodes; put ledger_keeps_rows back.
SET LOCAL lock_timeout = '4s';

CREATE TABLE ledger_nodes (
    tenant_id text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    level     smallint NOT NULL CHECK (level BETWEEN 0 AND 62),              -- 0 is a leaf
    number    bigint   NOT NULL CHECK (number >= 0),                         -- covers the leaves from number * 2^level
    hash      bytea    NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (tenant_id, level, number)
);
ALTER TABLE ledger_nodes ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_nodes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON ledger_nodes USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON ledger_nodes TO fairlead_app;
GRANT SELECT, INSERT, DELETE ON ledger_nodes TO fairlead_engine;

-- A leaf goes when its body has gone before, a commit of the ledger itself names its place and says from before when it is,
-- and its hash is among the nodes. Which commit says so stands in `fairlead.gone_by`.
CREATE FUNCTION ledger_lets_go() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fact jsonb;
BEGIN
    SELECT convert_from(f.body, 'UTF8')::jsonb #> '{events,0}' INTO fact
      FROM public.ledger_commits AS f
     WHERE f.tenant_id = OLD.tenant_id AND f.kind = 'expiry' AND f.sequence > OLD.sequence
       AND f.sequence = nullif(current_setting('fairlead.gone_by', true), '')::bigint;
    IF OLD.body IS NOT NULL OR fact IS NULL OR fact ->> 'type' <> 'expiry.leaves_begun.v1'
       OR NOT fact -> 'sequences' @> to_jsonb(OLD.sequence)
       OR OLD.at >= (fact ->> 'made_before')::timestamptz
       OR NOT EXISTS (SELECT FROM public.ledger_nodes AS n
                       WHERE n.tenant_id = OLD.tenant_id AND n.level = 0 AND n.number = OLD.leaf
                         AND n.hash = substring(OLD.hashes FROM 1 FOR 32)) THEN
        RAISE EXCEPTION 'the ledger is only ever added to' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;
DROP TRIGGER ledger_keeps_rows ON ledger_commits;
CREATE TRIGGER ledger_lets_go BEFORE DELETE ON ledger_commits FOR EACH ROW EXECUTE FUNCTION ledger_lets_go();
GRANT DELETE ON ledger_commits TO fairlead_engine;

ALTER TABLE expiries DROP CONSTRAINT expiries_what_check;
ALTER TABLE expiries ADD CONSTRAINT expiries_what_check CHECK (what IN ('runs', 'accesses', 'objects', 'leaves'));
