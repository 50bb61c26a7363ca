-- The columns that attaching adds, as plain columns.
ALTER TABLE :schema.contact
	ADD COLUMN marketing_status mkt.status NOT NULL DEFAULT 'non_marketing',
	ADD COLUMN marketing_until_next_update boolean NOT NULL DEFAULT false,
	ADD COLUMN marketing_until timestamptz,
	ADD COLUMN marketing_source_type text,
	ADD COLUMN marketing_source_name text;
