SELECT mkt.set_history(:'schema' || '.contact', enabled => false);
