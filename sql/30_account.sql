-- Accounts and their update dates (account.c, update_date.c).

CREATE FUNCTION mkt.is_time_zone(name text) RETURNS boolean
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_is_time_zone';
COMMENT ON FUNCTION mkt.is_time_zone(text) IS
'Whether an account may have this time zone: a name of the IANA database such as Europe/Oslo (D4).';

CREATE TYPE mkt.at_maximum AS ENUM ('refuse', 'park');
COMMENT ON TYPE mkt.at_maximum IS 'What happens at an account''s maximum (B8). refuse: the statement fails. park: the contact is stored as non-marketing, and mkt.parked lists it.';

CREATE TABLE mkt.account (
	account		text			CONSTRAINT account_pkey PRIMARY KEY,
	edition		text			CONSTRAINT "edition has a name" CHECK (edition <> '')
								CONSTRAINT "edition is one of mkt.edition" REFERENCES mkt.edition ON UPDATE CASCADE,
	commitment	mkt.commitment	NOT NULL DEFAULT 'annual',
	started_on	date			CONSTRAINT "started_on is a date of our calendar" CHECK (started_on BETWEEN '0001-01-01' AND '9999-12-31'),
	time_zone	text			NOT NULL DEFAULT 'UTC'
								CONSTRAINT "time_zone is an IANA name" CHECK (mkt.is_time_zone(time_zone)),
	currency	text			NOT NULL DEFAULT 'EUR'
								CONSTRAINT "currency is a code of three letters" CHECK (currency ~ '^[A-Z]{3}$'),
	maximum			bigint			CONSTRAINT "maximum is not negative" CHECK (maximum >= 0),
	at_maximum		mkt.at_maximum	NOT NULL DEFAULT 'refuse',
	contact_limit	bigint			CONSTRAINT "contact_limit is not negative" CHECK (contact_limit >= 0),
	sandbox			boolean			NOT NULL DEFAULT false,
	count_deleted	boolean			NOT NULL DEFAULT false,
	actions_per_second numeric		CONSTRAINT "actions_per_second is positive" CHECK (actions_per_second > 0),
	created_at		timestamptz		NOT NULL DEFAULT mkt.now() CONSTRAINT "created_at is finite" CHECK (isfinite(created_at)),
	CONSTRAINT "a monthly commitment has started_on" CHECK (commitment <> 'monthly' OR started_on IS NOT NULL)
);
COMMENT ON TABLE mkt.account IS
'Settings of accounts, by plain INSERT, UPDATE and DELETE. An account without a row has an annual commitment, no start and UTC (D8). A change moves the instants of the account''s pending contacts to its new next update date (D7).';
COMMENT ON COLUMN mkt.account.account IS 'The account as text: the value of the contacts table''s account column, or the constant given to mkt.attach().';
COMMENT ON COLUMN mkt.account.edition IS 'What the account has bought: one of mkt.edition. Null: nothing, and there is no tier.';
COMMENT ON COLUMN mkt.account.commitment IS 'annual (D1) or monthly (D2).';
COMMENT ON COLUMN mkt.account.started_on IS 'The first day of the first term; terms end on its anniversaries, or every month on its day (D3).';
COMMENT ON COLUMN mkt.account.time_zone IS 'The zone in which the account''s days begin (D4).';
COMMENT ON COLUMN mkt.account.currency IS 'The currency in which it pays.';
COMMENT ON COLUMN mkt.account.maximum IS 'So many marketing contacts the account may have (B8); null: any number. Fewer than it has now demotes nobody and stops further ones.';
COMMENT ON COLUMN mkt.account.at_maximum IS 'What happens to a contact that would be one too many: refuse or park.';
COMMENT ON COLUMN mkt.account.contact_limit IS 'So many contacts, whatever their status, the account may have (B10); null: any number.';
COMMENT ON COLUMN mkt.account.sandbox IS 'Whether everything works and nothing is billed (B9).';
COMMENT ON COLUMN mkt.account.count_deleted IS 'Whether marketing contacts that are deleted count until the next update date (T13).';
CREATE INDEX account_counts_deleted ON mkt.account (account) WHERE count_deleted;
COMMENT ON COLUMN mkt.account.actions_per_second IS 'So many contacts a second the account''s workflows may act on, a minute''s worth at once (K3); null: any number.';
COMMENT ON COLUMN mkt.account.created_at IS 'When its first period begins: when the row was inserted.';
CREATE INDEX account_limited ON mkt.account (account) WHERE maximum IS NOT NULL OR contact_limit IS NOT NULL;
SELECT pg_catalog.pg_extension_config_dump('mkt.account', '');

CREATE FUNCTION mkt.next_update(account text, after timestamptz DEFAULT NULL) RETURNS timestamptz
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_next_update';
COMMENT ON FUNCTION mkt.next_update(text, timestamptz) IS
'The first update date of an account strictly later than an instant (D1 to D5, D8). Arguments: account; after, by default now. Error: 22008 for an instant without a later date.';

CREATE FUNCTION mkt.next_renewal(account text, after timestamptz DEFAULT NULL) RETURNS timestamptz
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_next_renewal';
COMMENT ON FUNCTION mkt.next_renewal(text, timestamptz) IS
'The first end of a term of an account strictly later than an instant; null for an account without started_on (D1 to D5). Arguments: account; after, by default now.';

CREATE FUNCTION mkt.next_update(account bigint, after timestamptz DEFAULT NULL) RETURNS timestamptz
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN mkt.next_update(account::text, after);
COMMENT ON FUNCTION mkt.next_update(bigint, timestamptz) IS 'The same for an account that is a number.';

CREATE FUNCTION mkt.next_update(account uuid, after timestamptz DEFAULT NULL) RETURNS timestamptz
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN mkt.next_update(account::text, after);
COMMENT ON FUNCTION mkt.next_update(uuid, timestamptz) IS 'The same for an account that is a uuid.';

CREATE FUNCTION mkt.next_renewal(account bigint, after timestamptz DEFAULT NULL) RETURNS timestamptz
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN mkt.next_renewal(account::text, after);
COMMENT ON FUNCTION mkt.next_renewal(bigint, timestamptz) IS 'The same for an account that is a number.';

CREATE FUNCTION mkt.next_renewal(account uuid, after timestamptz DEFAULT NULL) RETURNS timestamptz
LANGUAGE SQL STABLE PARALLEL SAFE
RETURN mkt.next_renewal(account::text, after);
COMMENT ON FUNCTION mkt.next_renewal(uuid, timestamptz) IS 'The same for an account that is a uuid.';

CREATE FUNCTION mkt.next_update(commitment mkt.commitment, started_on date, time_zone text, after timestamptz DEFAULT NULL) RETURNS timestamptz
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_next_update_of_cycle';
COMMENT ON FUNCTION mkt.next_update(mkt.commitment, date, text, timestamptz) IS
'The first update date strictly later than an instant for settings that need not be any account''s (D1 to D5); null when there is none.';

CREATE FUNCTION mkt.next_renewal(commitment mkt.commitment, started_on date, time_zone text, after timestamptz DEFAULT NULL) RETURNS timestamptz
LANGUAGE C STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'mkt_next_renewal_of_cycle';
COMMENT ON FUNCTION mkt.next_renewal(mkt.commitment, date, text, timestamptz) IS
'The first end of a term strictly later than an instant for settings that need not be any account''s (D1 to D5); null when there is none.';

CREATE FUNCTION mkt.account_changed() RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'mkt_account_changed';
REVOKE ALL ON FUNCTION mkt.account_changed() FROM PUBLIC;
COMMENT ON FUNCTION mkt.account_changed() IS 'Trigger function of mkt.account: gives pending contacts their new update date (D7).';

CREATE TRIGGER account_changed AFTER INSERT OR DELETE ON mkt.account
FOR EACH ROW EXECUTE FUNCTION mkt.account_changed();
CREATE TRIGGER account_updated AFTER UPDATE ON mkt.account
FOR EACH ROW WHEN (OLD.account <> NEW.account OR OLD.commitment <> NEW.commitment
				   OR OLD.started_on IS DISTINCT FROM NEW.started_on OR OLD.time_zone <> NEW.time_zone)
EXECUTE FUNCTION mkt.account_changed();
CREATE TRIGGER account_truncated BEFORE TRUNCATE ON mkt.account
FOR EACH STATEMENT EXECUTE FUNCTION mkt.account_changed();
