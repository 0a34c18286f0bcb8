-- Amounts are minor units of the currency. A refund is known by the key of the call that made it.
CREATE TABLE customers (
    email   TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    since   TEXT NOT NULL
) STRICT;
CREATE TABLE orders (
    number      TEXT PRIMARY KEY,
    email       TEXT NOT NULL,
    placed_on   TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('open', 'shipped', 'delivered', 'cancelled')),
    currency    TEXT NOT NULL,
    total_minor INTEGER NOT NULL CHECK (total_minor >= 0),
    note        TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE refunds (
    key          TEXT PRIMARY KEY,
    order_number TEXT NOT NULL REFERENCES orders (number),
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    reason       TEXT NOT NULL
) STRICT;
