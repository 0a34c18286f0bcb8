-- The orders database of the invoices connector: purchase orders as purchasing keeps them, and what is staged for the
-- ledger and the bank. Nothing here sends money. Safe to run again.
-- The connector's role needs: SELECT on both purchase_order tables; SELECT, INSERT on the others;
-- UPDATE (status) on staged_invoices.

CREATE TABLE IF NOT EXISTS purchase_orders (
    number                  text   PRIMARY KEY,
    supplier_id             text   NOT NULL,                -- VAT id, else register entry
    supplier_name           text   NOT NULL,
    supplier_iban           text,                           -- the account on file
    currency                text   NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status                  text   NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
    total_minor             bigint NOT NULL,                -- without tax
    invoiced_before_minor   bigint NOT NULL DEFAULT 0       -- invoiced before this database was in use
);

CREATE TABLE IF NOT EXISTS purchase_order_lines (
    order_number     text           NOT NULL REFERENCES purchase_orders,
    line_id          text           NOT NULL,
    item_id          text,                                  -- the supplier's
    description      text           NOT NULL,
    unit             text           NOT NULL,
    quantity         numeric(30,12) NOT NULL CHECK (quantity >= 0),
    unit_price       numeric(30,12) NOT NULL CHECK (unit_price >= 0),
    tax_rate         numeric(9,4)   NOT NULL CHECK (tax_rate >= 0),
    invoiced_before  numeric(30,12) NOT NULL DEFAULT 0 CHECK (invoiced_before >= 0),
    PRIMARY KEY (order_number, line_id)
);

CREATE TABLE IF NOT EXISTS staged_invoices (
    staged_id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idempotency_key         text        NOT NULL UNIQUE,
    status                  text        NOT NULL DEFAULT 'staged' CHECK (status IN ('staged', 'withdrawn')),
    kind                    text        NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
    document_sha256         text        NOT NULL CHECK (document_sha256 ~ '^[0-9a-f]{64}$'),
    seller_id               text        NOT NULL,
    seller_name             text        NOT NULL,
    number                  text        NOT NULL,
    preceding_invoices      text[]      NOT NULL DEFAULT '{}',
    order_number            text        NOT NULL REFERENCES purchase_orders,
    issue_date              date        NOT NULL,
    currency                text        NOT NULL,
    net_minor               bigint      NOT NULL,
    payable_minor           bigint      NOT NULL,
    total_variance_minor    bigint      NOT NULL,
    absolute_variance_minor bigint      NOT NULL CHECK (absolute_variance_minor >= 0),
    variance_bp             integer     NOT NULL CHECK (variance_bp >= 0),
    concerns                text[]      NOT NULL,
    staged_at               timestamptz NOT NULL DEFAULT now()
);

-- The same number of the same seller is staged once; a withdrawn one may come again.
CREATE UNIQUE INDEX IF NOT EXISTS staged_invoices_once
    ON staged_invoices (seller_id, kind, number) WHERE status = 'staged';
CREATE INDEX IF NOT EXISTS staged_invoices_by_order ON staged_invoices (order_number) WHERE status = 'staged';

CREATE TABLE IF NOT EXISTS staged_invoice_lines (
    staged_id   bigint         NOT NULL REFERENCES staged_invoices,
    ordinal     integer        NOT NULL,                    -- place in the document, from 1
    order_line  text           NOT NULL,
    quantity    numeric(30,12) NOT NULL,                    -- negative when it gives back
    PRIMARY KEY (staged_id, ordinal)
);

CREATE TABLE IF NOT EXISTS staged_payments (
    payment_id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idempotency_key text        NOT NULL UNIQUE,
    staged_id       bigint      NOT NULL UNIQUE REFERENCES staged_invoices,     -- an invoice is paid once
    currency        text        NOT NULL,
    amount_minor    bigint      NOT NULL CHECK (amount_minor > 0),
    iban            text        NOT NULL,
    reference       text        NOT NULL,
    staged_at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS rejections (
    rejection_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idempotency_key text        NOT NULL UNIQUE,
    document_sha256 text        NOT NULL,
    seller_id       text,
    number          text,
    reason_code     text        NOT NULL,
    reason          text        NOT NULL,
    withdrawn_id    bigint      REFERENCES staged_invoices,
    recorded_at     timestamptz NOT NULL DEFAULT now()
);
