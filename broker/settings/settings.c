/* SPDX-License-Identifier: Apache-2.0 */
/* The table of settings, in memory and as rows. See settings.h. */
#include "broker/settings/settings.h"
#include <stdio.h>

enum { ROW_VERSION = 0 };

struct setting {
	enum setting_id id;
	struct setting_owner owner; /* its group is in `key` */
	char *value;
	size_t key_len;
	uint8_t key[];
};

static const struct setting_def defs[SETTING_COUNT] = {
#define SETTING(id, key, group, topic_key, min, max, doc)                                          \
	[SETTING_##id] = {key, group, topic_key, min, max, doc},
#include "broker/settings/settings.def"
#undef SETTING
};

/* ---- what there is --------------------------------------------------------------------------- */

const struct setting_def *setting_def(enum setting_id id)
{
	ASSERT(id < SETTING_COUNT);
	return &defs[id];
}

bool setting_find(struct str key, bool group, enum setting_id *ret_id)
{
	for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
		if (defs[id].group != group || !str_equal(str_of(defs[id].key), key))
			continue;
		*ret_id = id;
		return true;
	}
	return false;
}

const char *setting_type(enum setting_id id)
{
	struct log_config_entry entry;
	const char *topic_key = setting_def(id)->topic_key;
	for (size_t i = 0; topic_key && log_topic_config_entry(i, &entry); i++) {
		if (strcmp(entry.key, topic_key) == 0)
			return entry.type;
	}
	ASSERT(!topic_key);
	return "int";
}

static struct setting_bounds bounds_of(const struct settings *s, enum setting_id id)
{
	if (id == SETTING_GROUP_SESSION)
		return s->session;
	if (id == SETTING_GROUP_HEARTBEAT)
		return s->heartbeat;
	return (struct setting_bounds){defs[id].min, defs[id].max};
}

enum err setting_check(const struct settings *s, enum setting_id id, struct str value)
{
	const struct setting_def *d = setting_def(id);
	struct setting_bounds bounds = bounds_of(s, id);
	int64_t number;
	if (!value.ptr || value.len > SETTING_VALUE_MAX)
		return err_note(ERR_INVALID_CONFIG, "%s: a value of at most %d bytes", d->key,
		    SETTING_VALUE_MAX);
	if (d->topic_key)
		return log_config_check(str_of(d->topic_key), value);
	if (!str_to_i64(value, &number) || number < bounds.min || number > bounds.max)
		return err_note(ERR_INVALID_CONFIG, "%s: a whole number from %d to %d is expected",
		    d->key, bounds.min, bounds.max);
	return ERR_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

void setting_row_key(struct writer *w, const struct setting_owner *owner, struct str key)
{
	struct str group = owner->scope == SETTING_GROUP ? owner->group : STR("");
	ASSERT(group.len <= SETTING_GROUP_MAX);
	write_u8(w, ROW_VERSION);
	write_u8(w, (uint8_t)owner->scope);
	write_u16_be(w, (uint16_t)group.len);
	write_str(w, group);
	write_str(w, key);
}

void setting_row_value(struct writer *w, struct str value)
{
	write_u8(w, ROW_VERSION);
	write_str(w, value);
}

static enum err key_read(struct bytes key, struct setting_owner *ret_owner, struct str *ret_name)
{
	struct reader r = reader_of(key);
	uint8_t version = read_u8(&r), scope = read_u8(&r);
	if (!r.bad && version != ROW_VERSION)
		return err_note(ERR_NEWER_FORMAT, "setting of version %u", version);
	uint16_t len = read_u16_be(&r);
	ret_owner->group = bytes_str(read_bytes(&r, len));
	*ret_name = bytes_str(read_bytes(&r, reader_left(&r)));
	ret_owner->scope = (enum setting_scope)scope;
	bool good = !r.bad && scope <= SETTING_GROUP && (scope == SETTING_GROUP) == (len > 0);
	return good ? ERR_OK : err_note(ERR_CORRUPT, "setting of %zu bytes", key.len);
}

static enum err value_read(struct bytes value, struct str *ret_text)
{
	struct reader r = reader_of(value);
	uint8_t version = read_u8(&r);
	*ret_text = bytes_str(read_bytes(&r, reader_left(&r)));
	if (!r.bad && version != ROW_VERSION)
		return err_note(ERR_NEWER_FORMAT, "setting of version %u", version);
	return r.bad ? err_note(ERR_CORRUPT, "setting without a value") : ERR_OK;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void setting_free(struct setting *at)
{
	mem_free(at->value);
	mem_free(at);
}

/* Owner and name of a new one point into its own copy of the key. */
static enum err setting_make(
    struct settings *s, enum setting_id id, struct bytes key, struct setting **ret_setting)
{
	struct str name;
	struct setting *at = mem_calloc(1, sizeof(*at) + key.len);
	if (!at)
		return ERR_NOMEM;
	at->id = id;
	at->key_len = key.len;
	memcpy(at->key, key.ptr, key.len);
	ASSERT(key_read(bytes_of(at->key, at->key_len), &at->owner, &name) == ERR_OK);
	enum err err = map_put(&s->at, bytes_of(at->key, at->key_len), at);
	if (err != ERR_OK) {
		mem_free(at);
		return err;
	}
	*ret_setting = at;
	return ERR_OK;
}

static enum err set(struct settings *s, enum setting_id id, struct bytes key, struct str text)
{
	struct setting *at = map_get(&s->at, key);
	char *copy = mem_strdup(text);
	if (!copy)
		return ERR_NOMEM;
	enum err err = at ? ERR_OK : setting_make(s, id, key, &at);
	if (err != ERR_OK) {
		mem_free(copy);
		return err;
	}
	mem_free(at->value);
	at->value = copy;
	return ERR_OK;
}

/* A row of a setting that this version does not have, or not with that value (S2). */
static bool is_good(
    const struct settings *s, const enum setting_id *id, struct str name, struct bytes value)
{
	struct str text;
	char quoted[80];
	bool good = id && (!value.ptr || (value_read(value, &text) == ERR_OK &&
	                                     setting_check(s, *id, text) == ERR_OK));
	if (!good)
		diag(DIAG_WARN, "setting_ignored", "key=%s reason=\"%s\"",
		    diag_quote(quoted, sizeof(quoted), name),
		    id ? "its value is not good here" : "unknown to this version");
	err_clear();
	return good;
}

static enum err apply(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct settings *s = ctx;
	struct setting_owner owner;
	struct str name, text = {NULL, 0};
	enum setting_id id = 0;
	(void)partition;
	(void)timestamp_ms;
	TRY(key_read(key, &owner, &name));
	bool known = setting_find(name, owner.scope == SETTING_GROUP, &id);
	if (!is_good(s, known ? &id : NULL, name, value))
		return ERR_OK;
	if (value.ptr) {
		TRY(value_read(value, &text));
		TRY(set(s, id, key, text));
	} else {
		struct setting *gone = map_remove(&s->at, key);
		if (gone)
			setting_free(gone);
	}
	if (s->changed)
		s->changed(s->ctx, id, &owner);
	return ERR_OK;
}

static void snapshot(void *ctx, int32_t partition,
    void (*emit)(void *emit_ctx, struct bytes key, struct bytes value), void *emit_ctx)
{
	const struct settings *s = ctx;
	const struct setting *at;
	struct writer value;
	size_t cursor = 0;
	(void)partition;
	writer_init(&value, 64 * KIB);
	while ((at = map_next(&s->at, &cursor))) {
		writer_clear(&value);
		setting_row_value(&value, str_of(at->value));
		ASSERT(value.err == ERR_OK);
		emit(emit_ctx, bytes_of(at->key, at->key_len), writer_bytes(&value));
	}
	writer_release(&value);
}

enum err settings_open(struct log *log, struct setting_bounds session,
    struct setting_bounds heartbeat, struct settings **ret_settings)
{
	static const struct log_table_ops ops = {.apply = apply, .snapshot = snapshot};
	struct settings *s = mem_calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->log = log;
	s->session = session;
	s->heartbeat = heartbeat;
	map_init(&s->at);
	enum err err = log_table_open(log, STR("__kappa_settings"), 1, &ops, s, &s->table);
	if (err != ERR_OK) {
		settings_close(s);
		return err;
	}
	*ret_settings = s;
	return ERR_OK;
}

void settings_close(struct settings *s)
{
	struct setting *at;
	size_t cursor = 0;
	if (!s)
		return;
	if (s->table)
		log_table_close(s->table);
	while ((at = map_next(&s->at, &cursor)))
		setting_free(at);
	map_release(&s->at);
	for (size_t id = 0; id < SETTING_COUNT; id++)
		mem_free(s->fixed[id]);
	mem_free(s);
}

/* ---- what is in force ------------------------------------------------------------------------ */

enum err settings_fix(struct settings *s, enum setting_id id, int64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%lld", (long long)value);
	ASSERT(!setting_def(id)->topic_key && !s->fixed[id]);
	s->fixed[id] = mem_strdup(str_of(text));
	return s->fixed[id] ? ERR_OK : ERR_NOMEM;
}

static enum err fix_topic_default(struct settings *s, enum setting_id id)
{
	char text[SETTING_VALUE_MAX + 1];
	TRY(log_default_config_get(s->log, str_of(defs[id].topic_key), text, sizeof(text)));
	s->fixed[id] = mem_strdup(str_of(text));
	return s->fixed[id] ? ERR_OK : ERR_NOMEM;
}

enum err settings_start(struct settings *s,
    void (*changed)(void *ctx, enum setting_id id, const struct setting_owner *owner), void *ctx)
{
	const struct setting_owner broker = {.scope = SETTING_BROKER};
	for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
		if (defs[id].topic_key)
			TRY(fix_topic_default(s, id));
		ASSERT(s->fixed[id] || defs[id].group);
	}
	s->changed = changed;
	s->ctx = ctx;
	for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
		if (!defs[id].group && settings_value(s, id).ptr != s->fixed[id])
			changed(ctx, id, &broker);
	}
	return ERR_OK;
}

struct str settings_own(
    const struct settings *s, enum setting_id id, const struct setting_owner *owner)
{
	struct writer w;
	writer_init(&w, 64 * KIB);
	setting_row_key(&w, owner, str_of(setting_def(id)->key));
	const struct setting *at = w.err == ERR_OK ? map_get(&s->at, writer_bytes(&w)) : NULL;
	writer_release(&w);
	return at ? str_of(at->value) : (struct str){NULL, 0};
}

struct str settings_value(const struct settings *s, enum setting_id id)
{
	const struct setting_owner broker = {.scope = SETTING_BROKER},
	                           brokers = {.scope = SETTING_BROKERS};
	struct str own = settings_own(s, id, &broker);
	ASSERT(!setting_def(id)->group);
	if (!own.ptr)
		own = settings_own(s, id, &brokers);
	return own.ptr ? own : str_of(s->fixed[id]);
}

static int32_t number_of(struct str text)
{
	int64_t number = 0;
	bool good = str_to_i64(text, &number);
	ASSERT(good && number >= 0 && number <= INT32_MAX); /* checked when it was set */
	return (int32_t)number;
}

int32_t settings_number(const struct settings *s, enum setting_id id)
{
	return number_of(settings_value(s, id));
}

int32_t settings_group_number(
    const struct settings *s, enum setting_id id, struct str group, int32_t otherwise)
{
	const struct setting_owner owner = {.scope = SETTING_GROUP, .group = group};
	ASSERT(setting_def(id)->group);
	if (!s || group.len == 0)
		return otherwise;
	struct str own = settings_own(s, id, &owner);
	return own.ptr ? number_of(own) : otherwise;
}

/* The first of its owner's settings. */
static bool is_first(const struct settings *s, const struct setting *at)
{
	for (enum setting_id id = 0; id < at->id; id++) {
		if (settings_own(s, id, &at->owner).ptr)
			return false;
	}
	return true;
}

bool settings_next_group(const struct settings *s, size_t *cursor, struct str *ret_group)
{
	const struct setting *at;
	while ((at = map_next(&s->at, cursor))) {
		if (at->owner.scope != SETTING_GROUP || !is_first(s, at))
			continue;
		*ret_group = at->owner.group;
		return true;
	}
	return false;
}
