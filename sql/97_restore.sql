-- Tables whose rows a dump brings in any order (restore.c).

CREATE FUNCTION mkt.restoring() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_restoring';
REVOKE ALL ON FUNCTION mkt.restoring() FROM PUBLIC;
COMMENT ON FUNCTION mkt.restoring() IS 'Trigger function of tables that a dump fills: while it does, their rows may refer to others that come later.';

CREATE TRIGGER restoring BEFORE INSERT ON mkt.shipping FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.shipping FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.shipping ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.edition FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.edition FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.edition ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.increment FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.increment FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.increment ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.currency FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.currency FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.currency ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.price FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.price FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.price ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.price_band FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.price_band FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.price_band ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.threshold FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.threshold FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.threshold ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.account FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.account FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.account ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.account_tier FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.account_tier FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.account_tier ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.downgrade_request FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.downgrade_request FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.downgrade_request ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.period_line FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.period_line FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.period_line ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.tool FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.tool FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.tool ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.tool_setting FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.tool_setting FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.tool_setting ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.tool_use FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.tool_use FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.tool_use ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.hubspot_source FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.hubspot_source FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.hubspot_source ENABLE ALWAYS TRIGGER restored;
CREATE TRIGGER restoring BEFORE INSERT ON mkt.import_problem FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
CREATE TRIGGER restored AFTER INSERT ON mkt.import_problem FOR EACH STATEMENT EXECUTE FUNCTION mkt.restoring();
ALTER TABLE mkt.import_problem ENABLE ALWAYS TRIGGER restored;

-- What a dump brings takes the place of what shipped.

ALTER TABLE mkt.shipping ENABLE ALWAYS TRIGGER withdrawn_again;
ALTER TABLE mkt.edition ENABLE ALWAYS TRIGGER shipped_again;
ALTER TABLE mkt.increment ENABLE ALWAYS TRIGGER shipped_again;
ALTER TABLE mkt.currency ENABLE ALWAYS TRIGGER shipped_again;
ALTER TABLE mkt.price ENABLE ALWAYS TRIGGER shipped_again;
ALTER TABLE mkt.price_band ENABLE ALWAYS TRIGGER shipped_again;
ALTER TABLE mkt.threshold ENABLE ALWAYS TRIGGER shipped_again;
ALTER TABLE mkt.tool ENABLE ALWAYS TRIGGER shipped_again;
ALTER TABLE mkt.tool_use ENABLE ALWAYS TRIGGER shipped_again;
ALTER TABLE mkt.hubspot_source ENABLE ALWAYS TRIGGER shipped_again;
ALTER TABLE mkt.edition ENABLE ALWAYS TRIGGER shipped_withdrawn;
ALTER TABLE mkt.increment ENABLE ALWAYS TRIGGER shipped_withdrawn;
ALTER TABLE mkt.currency ENABLE ALWAYS TRIGGER shipped_withdrawn;
ALTER TABLE mkt.price ENABLE ALWAYS TRIGGER shipped_withdrawn;
ALTER TABLE mkt.price_band ENABLE ALWAYS TRIGGER shipped_withdrawn;
ALTER TABLE mkt.threshold ENABLE ALWAYS TRIGGER shipped_withdrawn;
ALTER TABLE mkt.tool_use ENABLE ALWAYS TRIGGER shipped_withdrawn;
ALTER TABLE mkt.hubspot_source ENABLE ALWAYS TRIGGER shipped_withdrawn;
