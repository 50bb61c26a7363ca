SELECT mkt.attach('attached.contact', account_column => 'account_id', unsubscribed => 'unsubscribed_at IS NOT NULL');
