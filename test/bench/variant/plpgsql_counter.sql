-- Counting in PL/pgSQL, the obvious way: every row that changes updates its account's counter.
CREATE TABLE plpgsql_counter.counter (
	account_id bigint PRIMARY KEY,
	marketing bigint NOT NULL,
	pending bigint NOT NULL
);

INSERT INTO plpgsql_counter.counter
SELECT account_id, count(*), count(*) FILTER (WHERE marketing_until_next_update)
FROM plpgsql_counter.contact WHERE marketing_status = 'marketing' GROUP BY account_id;

CREATE FUNCTION plpgsql_counter.count(changed_account bigint, status mkt.status, is_pending boolean, difference integer)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF status = 'marketing' THEN
		INSERT INTO plpgsql_counter.counter AS c
		VALUES (changed_account, difference, CASE WHEN is_pending THEN difference ELSE 0 END)
		ON CONFLICT (account_id) DO UPDATE
		SET marketing = c.marketing + excluded.marketing, pending = c.pending + excluded.pending;
	END IF;
END
$$;

CREATE FUNCTION plpgsql_counter.count_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'UPDATE' THEN
		IF NEW.account_id = OLD.account_id AND NEW.marketing_status = 'marketing' AND OLD.marketing_status = 'marketing' THEN
			UPDATE plpgsql_counter.counter
			SET pending = pending + NEW.marketing_until_next_update::integer - OLD.marketing_until_next_update::integer
			WHERE account_id = NEW.account_id;
			RETURN NULL;
		END IF;
	END IF;
	IF TG_OP <> 'INSERT' THEN
		PERFORM plpgsql_counter.count(OLD.account_id, OLD.marketing_status, OLD.marketing_until_next_update, -1);
	END IF;
	IF TG_OP <> 'DELETE' THEN
		PERFORM plpgsql_counter.count(NEW.account_id, NEW.marketing_status, NEW.marketing_until_next_update, 1);
	END IF;
	RETURN NULL;
END
$$;

CREATE TRIGGER count_row AFTER INSERT OR DELETE ON plpgsql_counter.contact
	FOR EACH ROW EXECUTE FUNCTION plpgsql_counter.count_row();
CREATE TRIGGER count_changed_row AFTER UPDATE ON plpgsql_counter.contact
	FOR EACH ROW
	WHEN ((OLD.account_id, OLD.marketing_status, OLD.marketing_until_next_update)
		  IS DISTINCT FROM (NEW.account_id, NEW.marketing_status, NEW.marketing_until_next_update))
	EXECUTE FUNCTION plpgsql_counter.count_row();
