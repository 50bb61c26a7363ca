-- The event trigger of drift.c comes last, so that it does not watch the commands above.

CREATE EVENT TRIGGER mktcontacts_altered ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'DROP TABLE', 'ALTER TRIGGER', 'DROP TRIGGER', 'CREATE SUBSCRIPTION', 'ALTER SUBSCRIPTION') EXECUTE FUNCTION mkt.table_altered();
COMMENT ON EVENT TRIGGER mktcontacts_altered IS 'Notices what attached tables'' own triggers cannot: partitions that come and go, triggers that are disabled, subscriptions that fill them.';
