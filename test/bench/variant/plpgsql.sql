-- The states as somebody would write them in PL/pgSQL, with the first of the next month as the only update date.
CREATE FUNCTION :schema.follow_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		IF NEW.marketing_status = 'non_marketing' OR NOT NEW.marketing_until_next_update THEN
			NEW.marketing_until_next_update := false;
			NEW.marketing_until := NULL;
		ELSE
			NEW.marketing_until := date_trunc('month', now()) + interval '1 month';
		END IF;
		RETURN NEW;
	END IF;

	IF NEW.marketing_status = 'non_marketing' THEN
		IF OLD.marketing_status = 'marketing' THEN
			NEW.marketing_status := 'marketing';
			NEW.marketing_until_next_update := true;
			NEW.marketing_until := coalesce(OLD.marketing_until, date_trunc('month', now()) + interval '1 month');
		END IF;
	ELSIF NEW.marketing_until_next_update THEN
		NEW.marketing_until := coalesce(OLD.marketing_until, date_trunc('month', now()) + interval '1 month');
	ELSE
		NEW.marketing_until := NULL;
	END IF;
	RETURN NEW;
END
$$;

CREATE TRIGGER status_on_insert BEFORE INSERT ON :schema.contact
	FOR EACH ROW EXECUTE FUNCTION :schema.follow_status();
CREATE TRIGGER status_on_update
	BEFORE UPDATE OF marketing_status, marketing_until_next_update, marketing_until ON :schema.contact
	FOR EACH ROW EXECUTE FUNCTION :schema.follow_status();
