/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and view versions in memory, see registry.h. */
#include "processor/registry.h"
#include <stdio.h>

enum { REGISTRY_ARENA_BYTES_MAX = 64 << 20 };

static enum err find_table(void *ctx, struct str name, const struct table **ret_table);
static enum err find_view(
    void *ctx, struct str name, int32_t version, struct sql_view_info *ret_info);
static enum err find_table_read(void *ctx, struct str name, const struct table **ret_table);
static enum err find_view_read(
    void *ctx, struct str name, int32_t version, struct sql_view_info *ret_info);
static struct str find_nearest(void *ctx, struct str name);
static struct str find_nearest_read(void *ctx, struct str name);

void registry_init(struct registry *r, struct mutex *mutex)
{
	list_init(&r->tables);
	list_init(&r->views);
	r->mutex = mutex;
	r->catalog = (struct sql_catalog){
	    .ctx = r, .table = find_table, .view = find_view, .nearest = find_nearest};
}

static void version_free(struct reg_version *v)
{
	struct arena arena = v->arena; /* holds the entry itself */
	if (v->parsed)
		sql_script_release(&v->script);
	arena_release(&arena);
}

void registry_release(struct registry *r)
{
	LIST_EACH (&r->tables, node, next) {
		struct arena arena = CONTAINER_OF(node, struct reg_table, node)->arena;
		arena_release(&arena);
	}
	LIST_EACH (&r->views, node, next) {
		struct reg_view *view = CONTAINER_OF(node, struct reg_view, node);
		LIST_EACH (&view->versions, vnode, vnext)
			version_free(CONTAINER_OF(vnode, struct reg_version, node));
		struct arena arena = view->arena;
		arena_release(&arena);
	}
	list_init(&r->tables);
	list_init(&r->views);
}

/* ---- finding --------------------------------------------------------------------------------- */

struct reg_table *registry_table(struct registry *r, struct str name)
{
	LIST_EACH (&r->tables, node, next) {
		struct reg_table *t = CONTAINER_OF(node, struct reg_table, node);
		if (!t->dropped && str_equal(t->name, name))
			return t;
	}
	return NULL;
}

static struct reg_view *find_any_view(struct registry *r, struct str name)
{
	LIST_EACH (&r->views, node, next) {
		struct reg_view *v = CONTAINER_OF(node, struct reg_view, node);
		if (str_equal(v->name, name))
			return v;
	}
	return NULL;
}

struct reg_version *registry_next_version(struct reg_view *view, struct reg_version *after)
{
	struct list_node *node = after ? after->node.next : view->versions.head.next;
	for (; node != &view->versions.head; node = node->next) {
		struct reg_version *v = CONTAINER_OF(node, struct reg_version, node);
		if (!v->dropped)
			return v;
	}
	return NULL;
}

struct reg_view *registry_view(struct registry *r, struct str name)
{
	struct reg_view *v = find_any_view(r, name);
	return v && registry_next_version(v, NULL) ? v : NULL;
}

struct reg_version *registry_version(struct registry *r, struct str view, int32_t version)
{
	struct reg_view *v = find_any_view(r, view);
	if (!v)
		return NULL;
	int32_t wanted = version ? version : v->active;
	for (struct reg_version *x = registry_next_version(v, NULL); x;
	     x = registry_next_version(v, x))
		if (x->def.version == wanted)
			return x;
	return NULL;
}

int32_t registry_free_version(const struct reg_view *view)
{
	int32_t highest = 0;
	LIST_EACH (&view->versions, node, next) {
		const struct reg_version *v = CONTAINER_OF(node, struct reg_version, node);
		if (!v->ended && v->def.version > highest)
			highest = v->def.version;
	}
	return highest + 1;
}

static bool reads(const struct reg_version *v, const struct plan_read *read)
{
	for (size_t i = 0; i < v->def.read_count; i++) {
		const struct plan_read *r = &v->def.reads[i];
		if (r->is_table == read->is_table && str_equal(r->name, read->name) &&
		    (read->version == 0 || r->version == read->version))
			return true;
	}
	return false;
}

struct reg_version *registry_reader_of(struct registry *r, const struct plan_read *read)
{
	LIST_EACH (&r->views, node, next) {
		struct reg_view *view = CONTAINER_OF(node, struct reg_view, node);
		for (struct reg_version *v = registry_next_version(view, NULL); v;
		     v = registry_next_version(view, v))
			if (reads(v, read))
				return v;
	}
	return NULL;
}

/* ---- did you mean ---------------------------------------------------------------------------- */

enum { EDIT_NAME_MAX = 64 };

/* Edits (insert, delete, replace) between two names, any case; more than EDIT_NAME_MAX for long
 * ones. */
static uint32_t edit_distance(struct str a, struct str b)
{
	uint32_t row[EDIT_NAME_MAX + 1];
	if (a.len > EDIT_NAME_MAX || b.len > EDIT_NAME_MAX)
		return EDIT_NAME_MAX + 1;
	for (uint32_t k = 0; k <= b.len; k++)
		row[k] = k;
	for (size_t i = 0; i < a.len; i++) {
		uint32_t corner = row[0];
		row[0] = (uint32_t)i + 1;
		for (size_t k = 0; k < b.len; k++) {
			uint32_t replace = corner + ((a.ptr[i] | 0x20) != (b.ptr[k] | 0x20));
			uint32_t other = (row[k] < row[k + 1] ? row[k] : row[k + 1]) + 1;
			corner = row[k + 1];
			row[k + 1] = replace < other ? replace : other;
		}
	}
	return row[b.len];
}

struct str registry_nearest(struct registry *r, struct str name)
{
	struct str best = {NULL, 0};
	uint32_t nearest = (uint32_t)name.len / 3 + 2;
	LIST_EACH (&r->tables, node, next) {
		struct reg_table *t = CONTAINER_OF(node, struct reg_table, node);
		uint32_t d = t->dropped ? UINT32_MAX : edit_distance(t->name, name);
		if (d < nearest) {
			nearest = d;
			best = t->name;
		}
	}
	LIST_EACH (&r->views, node, next) {
		struct reg_view *v = CONTAINER_OF(node, struct reg_view, node);
		uint32_t d =
		    registry_next_version(v, NULL) ? edit_distance(v->name, name) : UINT32_MAX;
		if (d < nearest) {
			nearest = d;
			best = v->name;
		}
	}
	return best;
}

/* ---- the binder's view ----------------------------------------------------------------------- */

enum err registry_view_info(const struct reg_version *v, struct sql_view_info *ret_info)
{
	const struct view_plan *p = v->plan;
	if (!p)
		return err_note(ERR_REFUSED, "view \"" STR_FMT "\" version %d: %s",
		    STR_ARG(v->view->name), v->def.version, v->problem);
	uint32_t visible_keys = 0;
	while (visible_keys < p->key_count && p->keys[visible_keys] < p->visible_count)
		visible_keys++;
	*ret_info = (struct sql_view_info){.name = v->view->name,
	    .version = v->def.version,
	    .columns = p->root->columns,
	    .column_count = p->visible_count,
	    .sql = v->def.text,
	    .keys = p->keys,
	    .key_count = p->keys_visible ? p->key_count : visible_keys,
	    .keys_visible = p->keys_visible,
	    .catalog = &v->catalog};
	memcpy(ret_info->identity, p->identity, sizeof(ret_info->identity));
	return ERR_OK;
}

static enum err unknown(struct registry *r, const char *what, struct str name)
{
	struct str near = registry_nearest(r, name);
	if (near.ptr)
		return err_note(ERR_NOT_FOUND,
		    "there is no %s \"" STR_FMT "\": did you mean \"" STR_FMT "\"?", what,
		    STR_ARG(name), STR_ARG(near));
	return err_note(ERR_NOT_FOUND, "there is no %s \"" STR_FMT "\"", what, STR_ARG(name));
}

static enum err find_table(void *ctx, struct str name, const struct table **ret_table)
{
	struct registry *r = ctx;
	mutex_lock(r->mutex);
	struct reg_table *t = registry_table(r, name);
	enum err err = t ? ERR_OK : unknown(r, "table", name);
	if (t)
		*ret_table = t->table;
	mutex_unlock(r->mutex);
	return err;
}

static enum err find_view(
    void *ctx, struct str name, int32_t version, struct sql_view_info *ret_info)
{
	struct registry *r = ctx;
	mutex_lock(r->mutex);
	struct reg_version *v = registry_version(r, name, version);
	enum err err = v ? registry_view_info(v, ret_info) : unknown(r, "view", name);
	mutex_unlock(r->mutex);
	return err;
}

static struct str find_nearest(void *ctx, struct str name)
{
	struct registry *r = ctx;
	mutex_lock(r->mutex);
	struct str near = registry_nearest(r, name);
	mutex_unlock(r->mutex);
	return near;
}

/* The names of a version already created: as its record says. */
static const struct plan_read *recorded_read(
    const struct reg_version *v, struct str name, bool is_table)
{
	for (size_t i = 0; i < v->def.read_count; i++)
		if (v->def.reads[i].is_table == is_table && str_equal(v->def.reads[i].name, name))
			return &v->def.reads[i];
	return NULL;
}

static bool same_identity(const uint8_t a[32], const uint8_t b[32])
{
	return memcmp(a, b, 32) == 0;
}

static enum err find_table_read(void *ctx, struct str name, const struct table **ret_table)
{
	struct reg_version *v = ctx;
	const struct plan_read *read = recorded_read(v, name, true);
	enum err err = ERR_NOT_FOUND;
	mutex_lock(v->registry->mutex);
	LIST_EACH (&v->registry->tables, node, next) {
		struct reg_table *t = CONTAINER_OF(node, struct reg_table, node);
		if (!read || !str_equal(t->name, name) ||
		    !same_identity(t->table->identity, read->identity))
			continue;
		*ret_table = t->table;
		err = ERR_OK;
	}
	mutex_unlock(v->registry->mutex);
	return err;
}

static enum err find_view_read(
    void *ctx, struct str name, int32_t version, struct sql_view_info *ret_info)
{
	struct reg_version *v = ctx;
	const struct plan_read *read = recorded_read(v, name, false);
	enum err err = ERR_NOT_FOUND;
	(void)version;
	mutex_lock(v->registry->mutex);
	struct reg_view *view = read ? find_any_view(v->registry, name) : NULL;
	if (view) {
		LIST_EACH (&view->versions, node, next) {
			struct reg_version *x = CONTAINER_OF(node, struct reg_version, node);
			if (x->def.version == read->version && x->plan &&
			    same_identity(x->plan->identity, read->identity))
				err = registry_view_info(x, ret_info);
		}
	}
	mutex_unlock(v->registry->mutex);
	return err;
}

static struct str find_nearest_read(void *ctx, struct str name)
{
	(void)ctx, (void)name;
	return (struct str){NULL, 0};
}

/* ---- changing -------------------------------------------------------------------------------- */

static enum err sql_failed(enum err err, const struct sql_error *e)
{
	return err_note(err, "%d:%d: %s%s%s", e->line, e->column, e->message,
	    e->hint[0] ? " Hint: " : "", e->hint);
}

static enum err bind_table(struct registry *r, struct reg_table *t)
{
	struct sql_script script;
	struct sql_error e = {0};
	struct table *table;
	enum err err = sql_parse(t->def.text, &script, &e);
	if (err)
		return sql_failed(err, &e);
	if (script.count != 1 || script.statements[0].kind != SQL_CREATE_TABLE)
		err = err_note(ERR_CORRUPT,
		    DEFINITION_TOPIC ": table \"" STR_FMT "\" is no CREATE TABLE",
		    STR_ARG(t->name));
	else if ((err = sql_bind_table(
	              &script.statements[0], &r->catalog, &t->arena, &table, &e)) != ERR_OK)
		err = sql_failed(err, &e);
	sql_script_release(&script);
	if (err)
		return err;
	table->topic_id = t->def.topic_id;
	t->table = table;
	return ERR_OK;
}

enum err registry_add_table(struct registry *r, const struct definition *d, struct arena *arena,
    struct reg_table **ret_table)
{
	struct reg_table *t = arena_calloc(arena, 1, sizeof(*t));
	if (!t)
		return ERR_NOMEM;
	t->name = d->name;
	t->def = *d;
	t->arena = *arena;
	enum err err = bind_table(r, t);
	if (err) {
		*arena = t->arena;
		return err;
	}
	mutex_lock(r->mutex);
	struct reg_table *old = registry_table(r, d->name);
	if (old)
		old->dropped = true;
	list_push_back(&r->tables, &t->node);
	mutex_unlock(r->mutex);
	*arena = (struct arena){0};
	*ret_table = t;
	return ERR_OK;
}

/* Binding an old record may fail where it once did not (a newer program): the version then stands
 * with a problem. */
static void bind_version(struct reg_version *v)
{
	struct sql_error e = {0};
	enum err err = sql_parse(v->def.text, &v->script, &e);
	v->parsed = err == ERR_OK;
	if (err == ERR_OK &&
	    (v->script.count != 1 || v->script.statements[0].kind != SQL_CREATE_VIEW))
		err = ERR_CORRUPT;
	else if (err == ERR_OK)
		err = sql_bind_view(&v->script.statements[0], &v->catalog, &v->arena, &v->plan, &e);
	if (err == ERR_OK)
		return;
	v->plan = NULL;
	(void)snprintf(v->problem, sizeof(v->problem), "%s: %d:%d: %.150s", err_name(err), e.line,
	    e.column, e.message);
}

static enum err view_of(struct registry *r, struct str name, struct reg_view **ret_view)
{
	struct reg_view *view = find_any_view(r, name);
	if (!view) {
		struct arena arena;
		arena_init(&arena, REGISTRY_ARENA_BYTES_MAX);
		view = arena_calloc(&arena, 1, sizeof(*view));
		struct str copy = arena_copy_str(&arena, name);
		if (!view || !copy.ptr) {
			arena_release(&arena);
			return ERR_NOMEM;
		}
		view->arena = arena;
		view->name = copy;
		list_init(&view->versions);
		list_push_back(&r->views, &view->node);
	}
	*ret_view = view;
	return ERR_OK;
}

static void end_versions(struct reg_view *view)
{
	LIST_EACH (&view->versions, node, next)
		CONTAINER_OF(node, struct reg_version, node)->ended = true;
}

enum err registry_add_version(struct registry *r, const struct definition *d, struct arena *arena,
    struct reg_version **ret_version)
{
	struct reg_version *v = arena_calloc(arena, 1, sizeof(*v));
	struct reg_view *view;
	if (!v)
		return ERR_NOMEM;
	v->def = *d;
	v->arena = *arena;
	v->registry = r;
	v->input_hash = definition_input_hash(d->parts, d->part_count);
	v->catalog = (struct sql_catalog){.ctx = v,
	    .table = find_table_read,
	    .view = find_view_read,
	    .nearest = find_nearest_read};
	bind_version(v);
	mutex_lock(r->mutex);
	enum err err = view_of(r, d->name, &view);
	if (err == ERR_OK) {
		struct reg_version *old = registry_version(r, d->name, d->version);
		if (old)
			old->dropped = true;
		v->view = view;
		if (!registry_next_version(view, NULL))
			end_versions(view);
		list_push_back(&view->versions, &v->node);
	}
	mutex_unlock(r->mutex);
	if (err) {
		*arena = v->arena;
		if (v->parsed)
			sql_script_release(&v->script);
		return err;
	}
	*arena = (struct arena){0};
	*ret_version = v;
	return ERR_OK;
}

void registry_drop_table(struct registry *r, struct str name)
{
	mutex_lock(r->mutex);
	struct reg_table *t = registry_table(r, name);
	if (t)
		t->dropped = true;
	mutex_unlock(r->mutex);
}

void registry_drop_version(struct registry *r, struct str view, int32_t version)
{
	mutex_lock(r->mutex);
	struct reg_version *v = registry_version(r, view, version);
	if (v) {
		v->dropped = true;
		if (v->view->active == version)
			v->view->active = 0;
		if (v->view->previous == version)
			v->view->previous = 0;
	}
	mutex_unlock(r->mutex);
}

enum err registry_set_active(struct registry *r, const struct definition *d)
{
	mutex_lock(r->mutex);
	struct reg_view *view;
	enum err err = view_of(r, d->name, &view);
	if (err == ERR_OK) {
		view->active = d->version;
		view->previous = d->previous;
		view->keep_until_ms = d->keep_until_ms;
	}
	mutex_unlock(r->mutex);
	return err;
}
