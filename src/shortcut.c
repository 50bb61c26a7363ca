/*-------------------------------------------------------------------------
 * shortcut.c
 *	  Leaves row triggers out of statements for which they have nothing to do.
 *
 * PostgreSQL locks and writes a row once more for a BEFORE UPDATE trigger, and
 * reads both versions again for an AFTER trigger, before it looks whether the
 * trigger has to fire.  When a statement starts, its own copy of the table's
 * triggers is therefore made smaller:
 *
 * - An UPDATE that sets neither the account nor a marketing column, where no
 *   other BEFORE trigger could, fires none of our row triggers.
 * - Where nothing can come between mkt_10_state and the storing of its row (it
 *   is the last BEFORE trigger, the row cannot be skipped for a conflict and
 *   cannot move to another partition), it also counts, and the AFTER triggers
 *   stay out.  An error takes the count back with the subtransaction.
 *
 * COPY starts no executor, and is recognized when its first row fires mkt_10_state.
 * A session's first other statement loads this library too late for itself and
 * fires all triggers.
 *-------------------------------------------------------------------------
 */
#include "mktcontacts.h"

#include "access/tupdesc.h"
#include "catalog/pg_trigger.h"
#include "commands/copy.h"
#include "commands/trigger.h"
#include "compat.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "nodes/readfuncs.h"

static ExecutorStart_hook_type previous_start = NULL;

static void start(QueryDesc *query, int eflags);
static void look_at_plan(PlanState *plan, EState *estate);
static void shorten(ResultRelInfo *result, CmdType operation, EState *estate);
static void trust_state(ResultRelInfo *result, EState *estate);
static bool stays_here(Relation rel);
static bool fires_last(const Trigger *triggers, int ntriggers, const Trigger *state,
					   int16 event, bool *only);
static bool sets_marketing(const MktAttachment *attachment, const Bitmapset *columns);
static bool fires(const Trigger *trigger, int16 timing, int16 event);
static void leave_out(TriggerDesc *triggers, const char *name, int16 event);
static Trigger *find_trigger(TriggerDesc *triggers, const char *name);

void
mkt_shortcut_init(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start;
}

static void
start(QueryDesc *query, int eflags)
{
	if (previous_start)
		previous_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);

	if (query->operation == CMD_UPDATE || query->operation == CMD_INSERT)
		look_at_plan(query->planstate, query->estate);
}

/* The statement itself; what a WITH clause writes fires all triggers. */
static void
look_at_plan(PlanState *plan, EState *estate)
{
	ModifyTableState *modify;

	if (!IsA(plan, ModifyTableState))
		return;					/* LCOV_EXCL_LINE: another extension's plan */
	modify = castNode(ModifyTableState, plan);
	if (((ModifyTable *) plan->plan)->onConflictAction != ONCONFLICT_NONE)
		return;
	for (int i = 0; i < modify->mt_nrels; i++)
		shorten(&modify->resultRelInfo[i], modify->operation, estate);
}

static void
shorten(ResultRelInfo *result, CmdType operation, EState *estate)
{
	TriggerDesc *triggers = result->ri_TrigDesc;
	int16		event = operation == CMD_UPDATE ? TRIGGER_TYPE_UPDATE : TRIGGER_TYPE_INSERT;
	Trigger    *state = triggers ? find_trigger(triggers, MKT_TRIGGER_STATE) : NULL;
	bool		only;
	MktAttachment *attachment;

	if (state == NULL || state->tgenabled == TRIGGER_DISABLED ||
		state->tgenabled == TRIGGER_FIRES_ON_REPLICA ||
		!stays_here(result->ri_RelationDesc) ||
		!fires_last(triggers->triggers, triggers->numtriggers, state, event, &only))
		return;
	attachment = mkt_attachment_find(RelationGetRelid(result->ri_RelationDesc));
	if (attachment == NULL)
		return;

	trust_state(result, estate);
	leave_out(triggers, event == TRIGGER_TYPE_UPDATE ? MKT_TRIGGER_RECOUNT : MKT_TRIGGER_COUNT,
			  event);
	if (event == TRIGGER_TYPE_UPDATE && only &&
		!sets_marketing(attachment, ExecGetUpdatedCols(result, estate)))
		leave_out(triggers, MKT_TRIGGER_STATE, event);
	else
		state->tgtype |= MKT_STATE_COUNTS_TOO;
}

/*
 * The row will be in a state, so our constraint needs no look: PostgreSQL reads
 * its expression anew for every statement, which takes longer than all the rest
 * that a single-row statement costs here.  An empty expression always holds.
 */
static void
trust_state(ResultRelInfo *result, EState *estate)
{
	TupleConstr *constr = RelationGetDescr(result->ri_RelationDesc)->constr;
	MemoryContext before;

	if (constr == NULL || constr->num_check == 0 || result->ri_ConstraintExprs)
		return;
	before = MemoryContextSwitchTo(estate->es_query_cxt);
	result->ri_ConstraintExprs = palloc0(constr->num_check * sizeof(ExprState *));
	for (int i = 0; i < constr->num_check; i++)
	{
		if (strcmp(constr->check[i].ccname, MKT_CONSTRAINT) != 0)
			result->ri_ConstraintExprs[i] =
				ExecPrepareExpr(stringToNode(constr->check[i].ccbin), estate);
	}
	MemoryContextSwitchTo(before);
}

/* A row of this table cannot become another table's. */
static bool
stays_here(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION && !rel->rd_rel->relispartition &&
		SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA;
}

/* No other BEFORE trigger for the event comes later; or there is none at all. */
static bool
fires_last(const Trigger *triggers, int ntriggers, const Trigger *state, int16 event,
		   bool *only)
{
	bool		last = true;

	*only = true;
	for (int i = 0; i < ntriggers; i++)
		if (&triggers[i] != state && fires(&triggers[i], TRIGGER_TYPE_BEFORE, event))
		{
			*only = false;
			last &= &triggers[i] < state;
		}
	return last;
}

/*
 * The same for COPY, asked by mkt_10_state for each row.  COPY's own error
 * context is on top only while COPY itself handles the row.  Its triggers are
 * a copy of the table's, in the same order.
 */
bool
mkt_shortcut_copy(Trigger *state, Relation rel)
{
	Trigger    *triggers;
	int			place = 0;
	bool		only;

	if (state->tgtype & MKT_STATE_COUNTS_TOO)
		return true;
	if (error_context_stack == NULL ||
		error_context_stack->callback != CopyFromErrorCallback || !stays_here(rel))
		return false;

	while (rel->trigdesc->triggers[place].tgoid != state->tgoid)
		place++;
	triggers = state - place;
	if (!fires_last(triggers, rel->trigdesc->numtriggers, state, TRIGGER_TYPE_INSERT,
					&only))
		return false;
	for (int i = 0; i < rel->trigdesc->numtriggers; i++)
		if (strcmp(triggers[i].tgname, MKT_TRIGGER_COUNT) == 0)
			triggers[i].tgtype &= ~TRIGGER_TYPE_INSERT;
	state->tgtype |= MKT_STATE_COUNTS_TOO;
	return true;
}

static bool
sets_marketing(const MktAttachment *attachment, const Bitmapset *columns)
{
	const AttrNumber matters[] = {
		attachment->account, attachment->status, attachment->flag, attachment->until
	};

	for (size_t i = 0; i < lengthof(matters); i++)
		if (matters[i] != InvalidAttrNumber &&
			bms_is_member(matters[i] - FirstLowInvalidHeapAttributeNumber, columns))
			return true;
	return false;
}

static bool
fires(const Trigger *trigger, int16 timing, int16 event)
{
	return TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_ROW, timing, event);
}

/* Takes an event from a row trigger in this statement's copy of the triggers. */
static void
leave_out(TriggerDesc *triggers, const char *name, int16 event)
{
	Trigger    *trigger = find_trigger(triggers, name);
	bool		before = false;
	bool		after = false;

	if (trigger)
		trigger->tgtype &= ~event;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		before |= fires(&triggers->triggers[i], TRIGGER_TYPE_BEFORE, event);
		after |= fires(&triggers->triggers[i], TRIGGER_TYPE_AFTER, event);
	}
	if (event == TRIGGER_TYPE_UPDATE)
	{
		triggers->trig_update_before_row = before;
		triggers->trig_update_after_row = after;
	}
	else
	{
		triggers->trig_insert_before_row = before;
		triggers->trig_insert_after_row = after;
	}
}

static Trigger *
find_trigger(TriggerDesc *triggers, const char *name)
{
	for (int i = 0; i < triggers->numtriggers; i++)
		if (strcmp(triggers->triggers[i].tgname, name) == 0)
			return &triggers->triggers[i];
	return NULL;
}
