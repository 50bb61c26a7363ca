-- All that mktcontacts made in a database, its own objects and what stands on and beside attached tables: a line of text each,
-- the same for the same. Names stand for OIDs, and places among the columns that are there for their numbers.
SET search_path = pg_catalog;
WITH schema AS (
	SELECT oid, nspname FROM pg_namespace WHERE nspname IN ('mkt', 'crm')
), relation AS (
	SELECT c.* FROM pg_class AS c WHERE c.relnamespace IN (SELECT oid FROM schema)
), object (kind, name, what) AS (
	SELECT 'extension', e.extname, concat_ws(' | ', e.extversion, e.extowner::regrole, e.extnamespace::regnamespace, e.extrelocatable,
		(SELECT string_agg(format('%s %s', c.relation::regclass, c.condition), ', ' ORDER BY c.relation::regclass::text) FROM unnest(e.extconfig, e.extcondition) AS c (relation, condition)),
		obj_description(e.oid, 'pg_extension'))
	FROM pg_extension AS e WHERE e.extname = 'mktcontacts'
UNION ALL
	SELECT 'member', pg_describe_object(d.classid, d.objid, d.objsubid), ''
	FROM pg_depend AS d WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'mktcontacts') AND d.deptype = 'e'
UNION ALL
	SELECT 'schema', n.nspname, concat_ws(' | ', n.nspowner::regrole, n.nspacl::text, obj_description(n.oid, 'pg_namespace')) FROM pg_namespace AS n WHERE n.oid IN (SELECT oid FROM schema)
UNION ALL
	SELECT 'function', p.oid::regprocedure::text, concat_ws(' | ', p.proowner::regrole, p.prokind, p.procost, p.prorows, p.prosupport, p.proacl::text, p.prosrc, p.probin, obj_description(p.oid, 'pg_proc'),
		CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END)
	FROM pg_proc AS p WHERE p.pronamespace IN (SELECT oid FROM schema)
UNION ALL
	SELECT 'aggregate', a.aggfnoid::text, concat_ws(' | ', a.aggkind, a.aggtransfn, a.aggfinalfn, a.aggtranstype::regtype, a.agginitval)
	FROM pg_aggregate AS a JOIN pg_proc AS p ON p.oid = a.aggfnoid WHERE p.pronamespace IN (SELECT oid FROM schema)
UNION ALL
	SELECT 'relation', c.oid::regclass::text, concat_ws(' | ', c.relkind, c.relowner::regrole, c.relpersistence, c.relacl::text, c.reloptions, c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
		c.relispartition, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid), (SELECT amname FROM pg_am WHERE oid = c.relam), obj_description(c.oid, 'pg_class'),
		CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END, CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END)
	FROM relation AS c
UNION ALL
	SELECT 'parent', i.inhrelid::regclass::text, i.inhparent::regclass::text FROM pg_inherits AS i WHERE i.inhrelid IN (SELECT oid FROM relation)
UNION ALL
	SELECT 'sequence', s.seqrelid::regclass::text, concat_ws(' | ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle) FROM pg_sequence AS s WHERE s.seqrelid IN (SELECT oid FROM relation)
UNION ALL
	SELECT 'column', format('%s %s', c.oid::regclass, a.attname), concat_ws(' | ', row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
		a.attcollation::regcollation, a.attstattarget, a.attstorage, a.attislocal, a.attinhcount, a.attacl::text, (SELECT array_agg(o) FROM unnest(a.attoptions) AS o WHERE o ~ '^n_distinct'), pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
	FROM relation AS c JOIN pg_attribute AS a ON a.attrelid = c.oid LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'i'
UNION ALL
	SELECT 'constraint', format('%s %s', coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text), k.conname), concat_ws(' | ', k.contype, k.condeferrable, k.condeferred, k.convalidated, k.conislocal, pg_get_constraintdef(k.oid), obj_description(k.oid, 'pg_constraint'))
	FROM pg_constraint AS k WHERE k.connamespace IN (SELECT oid FROM schema)
UNION ALL
	SELECT 'trigger', format('%s %s', t.tgrelid::regclass, t.tgname), concat_ws(' | ', t.tgenabled, t.tgisinternal, t.tgparentid <> 0, pg_get_triggerdef(t.oid), obj_description(t.oid, 'pg_trigger'))
	FROM pg_trigger AS t WHERE t.tgrelid IN (SELECT oid FROM relation) AND NOT t.tgisinternal
UNION ALL
	SELECT 'rule', format('%s %s', r.ev_class::regclass, r.rulename), pg_get_ruledef(r.oid) FROM pg_rewrite AS r WHERE r.ev_class IN (SELECT oid FROM relation)
UNION ALL
	SELECT 'policy', format('%s %s', p.polrelid::regclass, p.polname), concat_ws(' | ', p.polcmd, p.polpermissive, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
	FROM pg_policy AS p WHERE p.polrelid IN (SELECT oid FROM relation)
UNION ALL
	SELECT 'type', t.oid::regtype::text, concat_ws(' | ', t.typowner::regrole, t.typtype, t.typcategory, t.typnotnull, t.typdefault, t.typbasetype::regtype, t.typcollation::regcollation, t.typacl::text, obj_description(t.oid, 'pg_type'),
		(SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid),
		(SELECT concat_ws(' ', r.rngsubtype::regtype, r.rngmultitypid::regtype, r.rngcollation::regcollation, r.rngcanonical, r.rngsubdiff) FROM pg_range AS r WHERE r.rngtypid = t.oid))
	FROM pg_type AS t WHERE t.typnamespace IN (SELECT oid FROM schema)
UNION ALL
	SELECT 'operator', o.oid::regoperator::text, concat_ws(' | ', o.oprcode, o.oprresult::regtype, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprrest, o.oprjoin) FROM pg_operator AS o WHERE o.oprnamespace IN (SELECT oid FROM schema)
UNION ALL
	SELECT 'operator class', format('%s %s', a.amname, o.opcname), concat_ws(' | ', o.opcintype::regtype, o.opcdefault) FROM pg_opclass AS o JOIN pg_am AS a ON a.oid = o.opcmethod WHERE o.opcnamespace IN (SELECT oid FROM schema)
UNION ALL
	SELECT 'cast', format('%s %s', c.castsource::regtype, c.casttarget::regtype), concat_ws(' | ', c.castfunc::regprocedure, c.castcontext, c.castmethod)
	FROM pg_cast AS c JOIN pg_type AS t ON t.oid IN (c.castsource, c.casttarget) WHERE t.typnamespace IN (SELECT oid FROM schema)
UNION ALL
	SELECT 'event trigger', e.evtname, concat_ws(' | ', e.evtevent, e.evtenabled, e.evttags, e.evtfoid::regproc, e.evtowner::regrole, obj_description(e.oid, 'pg_event_trigger')) FROM pg_event_trigger AS e
UNION ALL
	SELECT 'statistics', s.stxname, pg_get_statisticsobjdef(s.oid) FROM pg_statistic_ext AS s WHERE s.stxnamespace IN (SELECT oid FROM schema)
UNION ALL
	SELECT 'rights of new objects', d.defaclnamespace::regnamespace::text, concat_ws(' | ', d.defaclrole::regrole, d.defaclobjtype, d.defaclacl::text) FROM pg_default_acl AS d
UNION ALL
	SELECT 'rights at first', pg_describe_object(p.classoid, p.objoid, p.objsubid), p.initprivs::text FROM pg_init_privs AS p
	WHERE (p.classoid = 'pg_class'::regclass AND p.objoid IN (SELECT oid FROM relation)) OR (p.classoid = 'pg_proc'::regclass AND p.objoid IN (SELECT oid FROM pg_proc WHERE pronamespace IN (SELECT oid FROM schema)))
)
SELECT format('%s %s: %s', kind, name, replace(what, E'\n', ' ')) FROM object ORDER BY 1;
