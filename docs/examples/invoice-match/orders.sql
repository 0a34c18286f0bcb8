-- Purchase orders of the example, and what was staged before: SR-2026-0388 (so that 05 is a duplicate) and TP-5490
-- (which the credit note 06 refers to). Safe to run again. All companies are invented.
BEGIN;

INSERT INTO purchase_orders (number, supplier_id, supplier_name, supplier_iban, currency, total_minor) VALUES
    ('PO-1001', 'NL999900001B01', 'Saltmarsh Rope and Cable B.V.', 'NL92FAIR0000000101', 'EUR', 184000),
    ('PO-1002', 'DE999900002', 'Lumen Dock Lighting GmbH', 'DE66999900020000000102', 'EUR', 162600),
    ('PO-1003', 'DK99990003', 'Tidewater Pumps ApS', 'DK3999990000000103', 'EUR', 259400),
    ('PO-1004', 'FR99999900004', 'Portico Office Supply SAS', 'FR3899999000010000000010499', 'EUR', 113400),
    ('PO-1005', 'NL999900001B01', 'Saltmarsh Rope and Cable B.V.', 'NL92FAIR0000000101', 'EUR', 54000),
    ('PO-1006', 'DK99990003', 'Tidewater Pumps ApS', 'DK3999990000000103', 'EUR', 64000),
    ('PO-1007', 'FR99999900004', 'Portico Office Supply SAS', 'FR3899999000010000000010499', 'EUR', 43000),
    ('PO-1008', 'DE999900002', 'Lumen Dock Lighting GmbH', 'DE66999900020000000102', 'EUR', 3100000),
    ('PO-1009', 'DK99990003', 'Tidewater Pumps ApS', 'DK3999990000000103', 'EUR', 492000),
    ('PO-1010', 'DE999900002', 'Lumen Dock Lighting GmbH', 'DE66999900020000000102', 'EUR', 154450),
    ('PO-1011', 'FR99999900004', 'Portico Office Supply SAS', 'FR3899999000010000000010499', 'EUR', 610400),
    ('PO-1012', 'NL999900001B01', 'Saltmarsh Rope and Cable B.V.', 'NL92FAIR0000000101', 'EUR', 134400)
ON CONFLICT DO NOTHING;

INSERT INTO purchase_order_lines
    (order_number, line_id, item_id, description, unit, quantity, unit_price, tax_rate) VALUES
    ('PO-1001', '1', 'SR-16', 'Mooring rope 16 mm', 'MTR', 200, 6.40, 21),
    ('PO-1001', '2', 'SR-TH', 'Thimble, stainless', 'C62', 40, 14.00, 21),
    ('PO-1002', '1', 'LD-40', 'Dock light 40 W', 'C62', 24, 58.50, 19),
    ('PO-1002', '2', 'LD-BR', 'Wall bracket', 'C62', 24, 9.25, 19),
    ('PO-1003', '1', 'TP-3', 'Bilge pump 3 kW', 'C62', 2, 1120.00, 25),
    ('PO-1003', '2', 'TP-HO', 'Suction hose 50 mm', 'MTR', 30, 11.80, 25),
    ('PO-1004', '1', 'PO-CH', 'Desk chair', 'C62', 6, 189.00, 20),
    ('PO-1005', '1', 'SR-FE', 'Fender, 300 mm', 'C62', 12, 45.00, 21),
    ('PO-1006', '1', 'TP-IM', 'Impeller', 'C62', 10, 64.00, 25),
    ('PO-1007', '1', 'PO-PA', 'Copier paper, box', 'C62', 20, 21.50, 20),
    ('PO-1008', '1', 'LD-MA', 'Light mast 12 m', 'C62', 8, 3450.00, 19),
    ('PO-1008', '2', 'LD-IN', 'Installation', 'DAY', 5, 680.00, 19),
    ('PO-1009', '1', 'TP-5', 'Transfer pump 5 kW', 'C62', 3, 1640.00, 25),
    ('PO-1010', '1', 'LD-60', 'Flood light 60 W', 'C62', 15, 72.30, 19),
    ('PO-1010', '2', 'LD-CA', 'Cable, rubber, 3 x 1.5', 'MTR', 250, 1.84, 19),
    ('PO-1011', '1', 'PO-DE', 'Desk, adjustable', 'C62', 10, 412.00, 20),
    ('PO-1011', '2', 'PO-LA', 'Desk lamp', 'C62', 10, 38.90, 20),
    ('PO-1011', '3', 'PO-CB', 'Cabinet, lockable', 'C62', 5, 265.00, 20),
    ('PO-1011', '4', 'PO-MA', 'Manual, printed', 'C62', 10, 12.00, 5.5),
    ('PO-1011', '5', 'PO-DL', 'Delivery', 'C62', 2, 75.00, 20),
    ('PO-1012', '1', 'SR-24', 'Towing rope 24 mm', 'MTR', 120, 11.20, 21)
ON CONFLICT DO NOTHING;

WITH staged AS (
    INSERT INTO staged_invoices
        (idempotency_key, kind, document_sha256, seller_id, seller_name, number, order_number, issue_date, currency,
         net_minor, payable_minor, total_variance_minor, absolute_variance_minor, variance_bp, concerns)
    VALUES
        ('example:SR-2026-0388', 'invoice', 'd21b07ba22937632f4b2d21e724f79f2816aa442fbbbd72843c15cd42914189b',
         'NL999900001B01', 'Saltmarsh Rope and Cable B.V.', 'SR-2026-0388', 'PO-1005', '2026-08-03', 'EUR',
         54000, 65340, 0, 0, 0, '{}'),
        ('example:TP-5490', 'invoice', '92210dea2cafc593ceefd065fecc3b8f5b290e1c313aaf6ff13c7c720c96dccd',
         'DK99990003', 'Tidewater Pumps ApS', 'TP-5490', 'PO-1006', '2026-07-20', 'EUR',
         64000, 80000, 0, 0, 0, '{}')
    ON CONFLICT DO NOTHING
    RETURNING staged_id, order_number
)
INSERT INTO staged_invoice_lines (staged_id, ordinal, order_line, quantity)
SELECT staged.staged_id, 1, line.line_id, line.quantity
  FROM staged JOIN purchase_order_lines line USING (order_number);

COMMIT;
