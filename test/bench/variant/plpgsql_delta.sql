-- Counting in PL/pgSQL, the careful way: one row of differences per account and statement, from transition tables.
CREATE TABLE plpgsql_delta.delta (
	account_id bigint NOT NULL,
	marketing_status mkt.status NOT NULL,
	marketing_until timestamptz,
	difference bigint NOT NULL
);

CREATE INDEX delta_account_id ON plpgsql_delta.delta (account_id);

INSERT INTO plpgsql_delta.delta
SELECT account_id, marketing_status, marketing_until, count(*) FROM plpgsql_delta.contact GROUP BY 1, 2, 3;

CREATE FUNCTION plpgsql_delta.count_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO plpgsql_delta.delta
	SELECT account_id, marketing_status, marketing_until, count(*) FROM new_contact GROUP BY 1, 2, 3;
	RETURN NULL;
END
$$;

CREATE FUNCTION plpgsql_delta.count_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO plpgsql_delta.delta
	SELECT account_id, marketing_status, marketing_until, sum(difference)
	FROM (SELECT account_id, marketing_status, marketing_until, 1 AS difference FROM new_contact
		  UNION ALL
		  SELECT account_id, marketing_status, marketing_until, -1 FROM old_contact) AS change
	GROUP BY 1, 2, 3
	HAVING sum(difference) <> 0;
	RETURN NULL;
END
$$;

CREATE FUNCTION plpgsql_delta.count_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO plpgsql_delta.delta
	SELECT account_id, marketing_status, marketing_until, -count(*) FROM old_contact GROUP BY 1, 2, 3;
	RETURN NULL;
END
$$;

CREATE TRIGGER count_inserted AFTER INSERT ON plpgsql_delta.contact
	REFERENCING NEW TABLE AS new_contact
	FOR EACH STATEMENT EXECUTE FUNCTION plpgsql_delta.count_inserted();
CREATE TRIGGER count_updated AFTER UPDATE ON plpgsql_delta.contact
	REFERENCING OLD TABLE AS old_contact NEW TABLE AS new_contact
	FOR EACH STATEMENT EXECUTE FUNCTION plpgsql_delta.count_updated();
CREATE TRIGGER count_deleted AFTER DELETE ON plpgsql_delta.contact
	REFERENCING OLD TABLE AS old_contact
	FOR EACH STATEMENT EXECUTE FUNCTION plpgsql_delta.count_deleted();
