-- usage_*: what calls of models and tools have cost, and how long people took who decided. model_meters, model_hours: the
-- same for all tenants together, without saying whose. Can be rebuilt from the log.
-- Locks: nothing existing. Undo: DROP TABLE usage_calls, usage_charges, usage_reviews, model_meters, model_hours.
SET LOCAL lock_timeout = '4s';

-- What a call of a model was for.
CREATE TABLE usage_calls (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    call_id        text COLLATE "C" NOT NULL CHECK (length(call_id) BETWEEN 1 AND 80),
    run_id         text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    route          text        NOT NULL CHECK (length(route) <= 200),
    purpose        text        NOT NULL CHECK (length(purpose) <= 20),
    door           text        NOT NULL CHECK (length(door) <= 40),
    step           text        NOT NULL,
    max_tokens     bigint      NOT NULL CHECK (max_tokens >= 0),            -- that one attempt can use
    requested_at   timestamptz NOT NULL,
    stream_version bigint      NOT NULL,                                    -- the event that says so
    PRIMARY KEY (tenant_id, call_id)
);
CREATE INDEX ON usage_calls (tenant_id, run_id);

-- A row for each fact that says what something has cost, or that it was refused.
CREATE TABLE usage_charges (
    tenant_id           text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    run_id              text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    stream_version      bigint      NOT NULL,                               -- the event that says so
    at                  timestamptz NOT NULL,
    kind                text        NOT NULL CHECK (kind IN ('model', 'tool')),
    outcome             text        NOT NULL CHECK (outcome IN ('completed', 'failed', 'unknown', 'refused', 'held')),
    call_id             text COLLATE "C" NOT NULL CHECK (length(call_id) BETWEEN 1 AND 80),
    attempt             integer     NOT NULL CHECK (attempt >= 0),
    provider            text        NOT NULL DEFAULT '' CHECK (length(provider) <= 200),
    model               text        NOT NULL DEFAULT '' CHECK (length(model) <= 500),
    code                text        NOT NULL DEFAULT '' CHECK (length(code) <= 200),
    cost_usd_micros     bigint      NOT NULL DEFAULT 0 CHECK (cost_usd_micros >= 0),
    saved_usd_micros    bigint      NOT NULL DEFAULT 0 CHECK (saved_usd_micros >= 0),
    input_tokens        bigint      NOT NULL DEFAULT 0 CHECK (input_tokens >= 0),
    cached_input_tokens bigint      NOT NULL DEFAULT 0 CHECK (cached_input_tokens >= 0),
    cache_write_tokens  bigint      NOT NULL DEFAULT 0 CHECK (cache_write_tokens >= 0),
    output_tokens       bigint      NOT NULL DEFAULT 0 CHECK (output_tokens >= 0),
    reasoning_tokens    bigint      NOT NULL DEFAULT 0 CHECK (reasoning_tokens >= 0),
    unsplit_tokens      bigint      NOT NULL DEFAULT 0 CHECK (unsplit_tokens >= 0), -- of which kind, nobody said
    latency_us          bigint      NOT NULL DEFAULT 0 CHECK (latency_us >= 0),
    first_token_us      bigint      NOT NULL DEFAULT 0 CHECK (first_token_us >= 0),
    cached              text        NOT NULL DEFAULT '' CHECK (length(cached) <= 20),
    price_version       text        NOT NULL DEFAULT '' CHECK (length(price_version) <= 200),
    PRIMARY KEY (tenant_id, run_id, stream_version)
);
CREATE INDEX ON usage_charges (tenant_id, at);

-- Decisions of people: those that somebody had claimed with the time since, and how many nobody had.
CREATE TABLE usage_reviews (
    tenant_id      text COLLATE "C" NOT NULL CHECK (length(tenant_id) BETWEEN 1 AND 64),
    approval_id    text COLLATE "C" NOT NULL CHECK (length(approval_id) BETWEEN 1 AND 80),
    run_id         text COLLATE "C" NOT NULL CHECK (length(run_id) BETWEEN 1 AND 64),
    claimed_by     text COLLATE "C",
    claimed_at     timestamptz,
    claimed_until  timestamptz,
    claimed        integer     NOT NULL DEFAULT 0 CHECK (claimed >= 0),
    worked_us      bigint      NOT NULL DEFAULT 0 CHECK (worked_us >= 0),
    unclaimed      integer     NOT NULL DEFAULT 0 CHECK (unclaimed >= 0),
    stream_version bigint      NOT NULL,                                    -- last event folded in
    PRIMARY KEY (tenant_id, approval_id)
);
CREATE INDEX ON usage_reviews (tenant_id, run_id);

-- Of nobody's: counted up with every charge that is new. `meter` says what, and for how much or up to how long.
CREATE TABLE model_meters (
    route    text   NOT NULL,
    provider text   NOT NULL,
    meter    text   NOT NULL CHECK (length(meter) <= 200),
    value    bigint NOT NULL CHECK (value >= 0),
    PRIMARY KEY (route, provider, meter)
);
CREATE TABLE model_hours (
    hour            timestamptz NOT NULL,
    route           text        NOT NULL,
    provider        text        NOT NULL,
    cost_usd_micros bigint      NOT NULL CHECK (cost_usd_micros >= 0),
    PRIMARY KEY (hour, route, provider)
);

ALTER TABLE usage_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_calls FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON usage_calls USING (tenant_id = (SELECT app_tenant()));
ALTER TABLE usage_charges ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_charges FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON usage_charges USING (tenant_id = (SELECT app_tenant()));
ALTER TABLE usage_reviews ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_reviews FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_fence ON usage_reviews USING (tenant_id = (SELECT app_tenant()));
GRANT SELECT ON usage_calls, usage_charges, usage_reviews, model_meters, model_hours TO fairlead_app;
GRANT SELECT, INSERT, UPDATE, DELETE, MAINTAIN
   ON usage_calls, usage_charges, usage_reviews, model_meters, model_hours TO fairlead_engine;
