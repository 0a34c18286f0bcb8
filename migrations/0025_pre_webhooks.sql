-- webhooks: those there are, for lists. Can be rebuilt from the log.
-- webhook_feeds, webhook_deliveries: how far each webhook has been told, and what waits or was sent lately. They hold no
-- content. Not in the log and not to be rebuilt: without them everything would be sent again from each beginning.
-- webhook_workers: what each process that sends says of its work, for metrics. Belongs to no tenant.
-- Locks: nothing existing. Undo: DROP TABLE webhooks, webhook_feeds, webhook_deliveries, webhook_workers.
SET LOCAL lock_timeout = '4s';

CREATE TABLE webhooks (
    tenant_id        text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    webhook_id       text COLLATE "C" NOT NULL CHECK (length(webhook_id) BETWEEN 1 AND 64),
    url              text        NOT NULL CHECK (length(url) BETWEEN 1 AND 2000),
    description      text        NOT NULL CHECK (length(description) <= 400),
    events           text[]      NOT NULL,
    workspace_id     text COLLATE "C",
    environment_id   text COLLATE "C",
    workflow_id      text COLLATE "C",
    status           text        NOT NULL CHECK (status IN ('enabled', 'disabled', 'removed')),
    disabled_by      text        CHECK (disabled_by IN ('person', 'failures', 'gone')),
    reason           text        NOT NULL DEFAULT '' CHECK (length(reason) <= 1000),
    overlap_until    timestamptz,                                          -- of the secret before this one
    created_at       timestamptz NOT NULL,
    created_by       text COLLATE "C" NOT NULL,
    created_sequence bigint      NOT NULL,                                 -- the cursor of lists
    changed_at       timestamptz NOT NULL,
    stream_version   bigint      NOT NULL,                                 -- last event folded in
    PRIMARY KEY (tenant_id, webhook_id)
);
CREATE INDEX ON webhooks (tenant_id, created_sequence);
ALTER TABLE webhooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhooks FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON webhooks USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON webhooks TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN ON webhooks TO fairlead_engine;

CREATE TABLE webhook_feeds (
    tenant_id     text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    webhook_id    text COLLATE "C" NOT NULL CHECK (length(webhook_id) BETWEEN 1 AND 64),
    fed_to        bigint      NOT NULL CHECK (fed_to >= 0),                -- everything up to here is listed below
    last_number   bigint      NOT NULL DEFAULT 0,
    acted_on      bigint      NOT NULL,                                    -- last wish for a replay that was granted
    holder        text        CHECK (length(holder) <= 200),               -- the process that sends
    held_until    timestamptz NOT NULL DEFAULT now(),
    failing_since timestamptz,                                             -- nothing has been taken since
    answered_at   timestamptz,
    last_error    text        CHECK (length(last_error) <= 200),
    PRIMARY KEY (tenant_id, webhook_id)
);
ALTER TABLE webhook_feeds ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_feeds FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON webhook_feeds USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_feeds TO fairlead_app;

CREATE TABLE webhook_deliveries (
    tenant_id       text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    webhook_id      text COLLATE "C" NOT NULL CHECK (length(webhook_id) BETWEEN 1 AND 64),
    number          bigint      NOT NULL CHECK (number >= 1),              -- in the order in which it is told
    sequence        bigint      NOT NULL,                                  -- with `index` the place of the event
    index           integer     NOT NULL CHECK (index >= 0),
    event_type      text        NOT NULL CHECK (length(event_type) BETWEEN 1 AND 200),
    lane            text        NOT NULL CHECK (length(lane) BETWEEN 1 AND 200),
    status          text        NOT NULL CHECK (status IN ('waiting', 'delivered', 'dropped')),
    attempts        integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    queued_at       timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    first_failed_at timestamptz,
    attempted_at    timestamptz,
    took_ms         integer,
    answer_status   integer,
    error           text        CHECK (length(error) <= 200),
    PRIMARY KEY (tenant_id, webhook_id, number)
);
CREATE INDEX ON webhook_deliveries (tenant_id, webhook_id, number) WHERE status = 'waiting';
CREATE INDEX ON webhook_deliveries (tenant_id, webhook_id, sequence);
ALTER TABLE webhook_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON webhook_deliveries USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries TO fairlead_app;

CREATE TABLE webhook_workers (
    worker_id text        NOT NULL PRIMARY KEY CHECK (length(worker_id) BETWEEN 1 AND 200),
    waiting   bigint      NOT NULL CHECK (waiting >= 0),
    failing   bigint      NOT NULL CHECK (failing >= 0),
    delivered bigint      NOT NULL CHECK (delivered >= 0),
    failed    bigint      NOT NULL CHECK (failed >= 0),
    told_at   timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_workers TO fairlead_app;
