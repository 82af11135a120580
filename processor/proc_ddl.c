/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions: each change is one durable batch of the topic __kappa_views (definition.h), then the
 * registry, then the workers. A crash in between is harmless: at the next start the registry is
 * built from the records alone.
 */
#include "processor/proc.h"
#include <stdio.h>

enum { DDL_ARENA_BYTES_MAX = 64 << 20 };

/* ---- records --------------------------------------------------------------------------------- */

struct encoded {
	struct writer key, value;
};

static enum err encode(struct encoded *e, const struct definition *d)
{
	writer_init(&e->key, KIB);
	writer_init(&e->value, DEFINITION_BYTES_MAX * 16);
	return definition_write(d, &e->key, &e->value);
}

static void encoded_release(struct encoded *e)
{
	writer_release(&e->key);
	writer_release(&e->value);
}

enum err proc_put_definition(
    struct proc *p, const struct definition *d, const struct definition *active)
{
	struct encoded e[2] = {0};
	struct log_row rows[2];
	size_t count = active ? 2 : 1;
	enum err err = encode(&e[0], d);
	if (err == ERR_OK && active)
		err = encode(&e[1], active);
	for (size_t i = 0; i < count; i++)
		rows[i] = (struct log_row){writer_bytes(&e[i].key), writer_bytes(&e[i].value)};
	if (err == ERR_OK)
		err = log_table_put_wait(p->table, 0, rows, count);
	for (size_t i = 0; i < count; i++)
		encoded_release(&e[i]);
	return err;
}

enum err proc_put_tombstone(struct proc *p, const struct definition *d)
{
	struct encoded e = {0};
	enum err err = encode(&e, d);
	struct log_row row = {writer_bytes(&e.key), {NULL, 0}};
	if (err == ERR_OK)
		err = log_table_put_wait(p->table, 0, &row, 1);
	encoded_release(&e);
	return err;
}

/* A definition as the registry will find it at the next start: read back from its own bytes, in an
 * arena of its own. */
static enum err reread(
    const struct definition *d, struct arena *arena, struct definition *ret_definition)
{
	struct encoded e = {0};
	arena_init(arena, DDL_ARENA_BYTES_MAX);
	enum err err = encode(&e, d);
	if (err == ERR_OK)
		err = definition_read(
		    writer_bytes(&e.key), writer_bytes(&e.value), arena, ret_definition);
	encoded_release(&e);
	if (err)
		arena_release(arena);
	return err;
}

/* ---- tables ---------------------------------------------------------------------------------- */

struct topic_lookup {
	struct proc *proc;
	struct str name;
	struct log_uuid id;
	bool found, internal;
};

static void find_topic(void *arg)
{
	struct topic_lookup *l = arg;
	const struct log_topic *t = log_topic_find(l->proc->options.log, l->name);
	l->found = t != NULL;
	if (t) {
		l->id = t->id;
		l->internal = t->internal;
	}
}

static enum err resolve_topic(struct proc *p, struct str name, struct log_uuid *ret_id)
{
	struct topic_lookup l = {.proc = p, .name = name};
	loop_call(log_loop(p->options.log), find_topic, &l);
	if (!l.found)
		return err_note(ERR_UNKNOWN_TOPIC,
		    "there is no topic '" STR_FMT "': create it first (kappa topic create " STR_FMT
		    ")",
		    STR_ARG(name), STR_ARG(name));
	if (l.internal)
		return err_note(ERR_REFUSED,
		    "'" STR_FMT "' is an internal topic: tables read topics of yours",
		    STR_ARG(name));
	*ret_id = l.id;
	return ERR_OK;
}

static bool name_taken(struct proc *p, struct str name, const char **ret_what)
{
	mutex_lock(&p->mutex);
	const char *what = registry_table(&p->registry, name)  ? "table"
	                   : registry_view(&p->registry, name) ? "view"
	                                                       : NULL;
	mutex_unlock(&p->mutex);
	if (what)
		*ret_what = what;
	return what != NULL;
}

static enum err add_table(
    struct proc *p, const struct sql_statement *s, const struct table *table, struct str principal)
{
	struct definition d = {
	    .kind = DEFINITION_TABLE, .name = table->name, .text = s->text, .principal = principal};
	struct definition copy;
	struct arena arena;
	struct reg_table *added;
	TRY(resolve_topic(p, table->topic, &d.topic_id));
	TRY(reread(&d, &arena, &copy));
	enum err err = proc_put_definition(p, &d, NULL);
	if (err == ERR_OK)
		err = registry_add_table(&p->registry, &copy, &arena, &added);
	arena_release(&arena);
	return err;
}

enum err proc_create_table(struct proc *p, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error)
{
	const char *what = NULL;
	if (name_taken(p, s->name, &what)) {
		if (s->if_not_exists)
			return proc_message(sink,
			    "%s \"" STR_FMT "\" exists already, nothing was done", what,
			    STR_ARG(s->name));
		return err_note(
		    ERR_EXISTS, "there is a %s \"" STR_FMT "\" already", what, STR_ARG(s->name));
	}
	struct arena arena;
	struct table *table;
	arena_init(&arena, DDL_ARENA_BYTES_MAX);
	enum err err = sql_bind_table(s, &p->registry.catalog, &arena, &table, ret_error);
	if (err == ERR_OK && table->dlq_topic.ptr)
		err = err_note(ERR_NOT_YET,
		    "dlq = '" STR_FMT
		    "': dead letters are not sent to a topic yet; leave the option "
		    "out, they are kept with the view (kappa dlq list)",
		    STR_ARG(table->dlq_topic));
	if (err == ERR_OK)
		err = add_table(p, s, table, how->principal);
	arena_release(&arena);
	TRY(err);
	return proc_message(sink, "CREATE TABLE");
}

/* ---- what a version reads -------------------------------------------------------------------- */

struct input_look {
	struct proc *proc;
	const struct view_plan *plan;
	const struct proc_input *input;
	struct arena *arena;
	struct definition_part *parts;
	size_t count;
	enum err err;
	struct log_uuid gone;
};

static int64_t wanted_offset(
    const struct proc_input *input, struct log_uuid topic, int32_t partition)
{
	for (size_t i = 0; i < input->from_count && !input->from_start; i++)
		if (input->from[i].partition == partition &&
		    log_uuid_equal(input->from[i].topic_id, topic))
			return input->from[i].from_offset;
	return 0;
}

static bool topic_seen(const struct input_look *l, uint32_t source)
{
	for (uint32_t i = 0; i < source; i++)
		if (log_uuid_equal(l->plan->sources[i]->table->topic_id,
		        l->plan->sources[source]->table->topic_id))
			return true;
	return false;
}

static size_t count_parts(const struct input_look *l)
{
	size_t count = 0;
	for (uint32_t i = 0; i < l->plan->source_count; i++) {
		const struct log_topic *t =
		    log_topic_by_id(l->proc->options.log, l->plan->sources[i]->table->topic_id);
		count += t ? (size_t)t->partition_count : 0;
	}
	return count;
}

static void look_topic(struct input_look *l, struct log_uuid id)
{
	const struct log *log = l->proc->options.log;
	const struct log_topic *t = log_topic_by_id(log, id);
	if (!t) {
		l->err = ERR_SOURCE_GONE;
		return;
	}
	for (int32_t i = 0; i < t->partition_count; i++) {
		struct log_partition_status st;
		log_partition_status(log_partition_find(log, t, i), &st);
		l->parts[l->count++] = (struct definition_part){.topic_id = id,
		    .partition = i,
		    .from = wanted_offset(l->input, id, i),
		    .log_start = st.log_start};
	}
}

static void look_at_input(void *arg)
{
	struct input_look *l = arg;
	size_t count = count_parts(l);
	l->parts = arena_calloc(l->arena, count + 1, sizeof(*l->parts));
	if (!l->parts || count > DEFINITION_PARTS_MAX) {
		l->err = l->parts ? ERR_LIMIT : ERR_NOMEM;
		return;
	}
	for (uint32_t i = 0; i < l->plan->source_count && l->err == ERR_OK; i++)
		if (!topic_seen(l, i))
			look_topic(l, l->plan->sources[i]->table->topic_id);
}

enum err proc_sources(struct proc *p, const struct sql_statement *s, struct arena *arena,
    struct log_uuid **ret_topics, size_t *ret_count, struct sql_error *ret_error)
{
	struct view_plan *plan;
	TRY(proc_sql_error(
	    ret_error, sql_bind_view(s, &p->registry.catalog, arena, &plan, ret_error)));
	struct input_look l = {.proc = p, .plan = plan};
	struct log_uuid *topics = arena_calloc(arena, plan->source_count + 1u, sizeof(*topics));
	if (!topics)
		return ERR_NOMEM;
	size_t count = 0;
	for (uint32_t i = 0; i < plan->source_count; i++)
		if (!topic_seen(&l, i))
			topics[count++] = plan->sources[i]->table->topic_id;
	*ret_topics = topics;
	*ret_count = count;
	return ERR_OK;
}

/* ---- versions -------------------------------------------------------------------------------- */

struct version_request {
	const struct sql_statement *s;
	int32_t version; /* 0 = next free */
	const struct proc_input *input;
	bool with_data;
};

static bool is_rebuilding(const struct reg_version *v)
{
	return v->run && v->run->state == PROC_REBUILDING && v->def.version != v->view->active;
}

static struct reg_version *find_rebuild(struct reg_view *view)
{
	struct reg_version *v = view ? registry_next_version(view, NULL) : NULL;
	while (v && !is_rebuilding(v))
		v = registry_next_version(view, v);
	return v;
}

/* Which number the version gets; one created WITH NO DATA may be taken again, to start it. Under
 * ddl and mutex. */
static enum err choose_version(
    struct proc *p, const struct version_request *q, int32_t *ret_version)
{
	struct reg_view *view = registry_view(&p->registry, q->s->name);
	int32_t free_version = view ? registry_free_version(view) : 1;
	int32_t version = q->version ? q->version : free_version;
	struct reg_version *same = registry_version(&p->registry, q->s->name, version);
	struct reg_version *running = q->with_data ? find_rebuild(view) : NULL;
	if (same && (same->def.with_data || !q->with_data))
		return err_note(ERR_EXISTS,
		    "view \"" STR_FMT "\" has a version %d already: the next free one is %d",
		    STR_ARG(q->s->name), version, free_version);
	if (registry_table(&p->registry, q->s->name))
		return err_note(
		    ERR_EXISTS, "there is a table \"" STR_FMT "\" already", STR_ARG(q->s->name));
	if (running)
		return err_note(ERR_REFUSED,
		    "a rebuild of \"" STR_FMT "\" is running already (version %d): wait for it, or"
		    " drop that version",
		    STR_ARG(q->s->name), running->def.version);
	*ret_version = version;
	return ERR_OK;
}

static enum err fill_definition(struct proc *p, const struct version_request *q,
    const struct view_plan *plan, struct definition *d)
{
	struct input_look l = {.proc = p, .plan = plan, .input = q->input, .arena = plan->arena};
	loop_call(log_loop(p->options.log), look_at_input, &l);
	if (l.err == ERR_SOURCE_GONE)
		return err_note(ERR_SOURCE_GONE,
		    "a topic that the view reads was deleted: drop the table and create it again");
	TRY(l.err);
	*d = (struct definition){.kind = DEFINITION_VIEW,
	    .name = q->s->name,
	    .version = d->version,
	    .text = q->s->text,
	    .principal = q->input->principal,
	    .from_start = q->input->from_start,
	    .with_data = q->with_data,
	    .parts = l.parts,
	    .part_count = l.count,
	    .reads = plan->reads,
	    .read_count = plan->read_count};
	memcpy(d->logic, plan->identity, sizeof(d->logic));
	return ERR_OK;
}

static enum err add_version(struct proc *p, const struct definition *d)
{
	struct definition copy, active = {.kind = DEFINITION_ACTIVE,
	                            .name = d->name,
	                            .version = d->version,
	                            .principal = d->principal,
	                            .text = STR("first version")};
	struct arena arena;
	struct reg_version *added;
	mutex_lock(&p->mutex);
	struct reg_view *view = registry_view(&p->registry, d->name);
	bool first = !view || view->active == 0;
	mutex_unlock(&p->mutex);
	TRY(reread(d, &arena, &copy));
	enum err err = proc_put_definition(p, d, first ? &active : NULL);
	if (err == ERR_OK)
		err = registry_add_version(&p->registry, &copy, &arena, &added);
	arena_release(&arena);
	TRY(err);
	if (first)
		TRY(registry_set_active(&p->registry, &active));
	if (d->with_data)
		TRY(proc_start_run(p, added));
	proc_link_current(p, added->view);
	return ERR_OK;
}

static enum err create_version(struct proc *p, const struct version_request *q,
    int32_t *ret_version, struct sql_error *ret_error)
{
	struct definition d = {0};
	struct arena arena;
	struct view_plan *plan;
	TRY(definition_name_check(q->s->name));
	TRY(proc_wait_known(p, q->s->name));
	mutex_lock(&p->mutex);
	enum err err = choose_version(p, q, &d.version);
	mutex_unlock(&p->mutex);
	TRY(err);
	arena_init(&arena, DDL_ARENA_BYTES_MAX);
	err = sql_bind_view(q->s, &p->registry.catalog, &arena, &plan, ret_error);
	if (err == ERR_OK)
		err = fill_definition(p, q, plan, &d);
	if (err == ERR_OK)
		err = add_version(p, &d);
	if (err == ERR_OK)
		*ret_version = d.version;
	arena_release(&arena);
	return err;
}

enum err proc_version_create(struct proc *p, const struct sql_statement *s, int32_t version,
    const struct proc_input *input, int32_t *ret_version, struct sql_error *ret_error)
{
	struct version_request q = {
	    .s = s, .version = version ? version : s->version, .input = input, .with_data = true};
	mutex_lock(&p->ddl);
	enum err err = create_version(p, &q, ret_version, ret_error);
	mutex_unlock(&p->ddl);
	return proc_sql_error(ret_error, err);
}

enum err proc_create_view(struct proc *p, const struct sql_statement *s,
    const struct proc_execute *how, const struct proc_sink *sink, struct sql_error *ret_error)
{
	const struct proc_input input = {.from_start = true, .principal = how->principal};
	struct version_request q = {
	    .s = s, .version = s->version, .input = &input, .with_data = s->with_data};
	const char *what = NULL;
	int32_t version;
	if (s->version == 0 && name_taken(p, s->name, &what)) {
		if (s->if_not_exists)
			return proc_message(sink,
			    "%s \"" STR_FMT "\" exists already, nothing was done", what,
			    STR_ARG(s->name));
		return err_note(ERR_EXISTS,
		    "there is a %s \"" STR_FMT
		    "\" already; a new version of a view is made WITH (version"
		    " = n), or by kappa view rebuild",
		    what, STR_ARG(s->name));
	}
	TRY(create_version(p, &q, &version, ret_error));
	return proc_message(sink, "CREATE MATERIALIZED VIEW");
}
