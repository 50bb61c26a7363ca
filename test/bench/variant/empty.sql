-- Row triggers as mktcontacts has them, which do nothing.
CREATE FUNCTION :schema.empty() RETURNS trigger LANGUAGE c AS '$libdir/empty';

CREATE TRIGGER before_row BEFORE INSERT OR UPDATE ON :schema.contact
	FOR EACH ROW EXECUTE FUNCTION :schema.empty();
CREATE TRIGGER after_row AFTER INSERT OR DELETE ON :schema.contact
	FOR EACH ROW EXECUTE FUNCTION :schema.empty();
CREATE TRIGGER after_update AFTER UPDATE ON :schema.contact
	FOR EACH ROW
	WHEN (OLD.account_id IS DISTINCT FROM NEW.account_id OR OLD.marketing_status IS DISTINCT FROM NEW.marketing_status
		  OR OLD.marketing_until IS DISTINCT FROM NEW.marketing_until)
	EXECUTE FUNCTION :schema.empty();
