SELECT mkt.attach((:'schema' || '.contact')::regclass, account_column => 'account_id', unsubscribed => 'unsubscribed_at IS NOT NULL');
