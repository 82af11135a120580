/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One table (topic_config.def) drives checking, decoding, DescribeConfigs and the documentation. A
 * value is checked when it is set, whatever the door it came through; rows read back from the
 * catalog pass the same check.
 */
#include "log/topic_config.h"
#include "log/batch.h"
#include <stdlib.h>

enum kind { LONG, INT, DOUBLE, BOOLEAN, CHOICE, LIST, TEXT };
static const struct config {
	const char *key;
	enum kind kind;
	const char *standard;
	int64_t min, max;
	const char *choices;
	bool obeyed;
	const char *doc;
} configs[TOPIC_CONFIG_COUNT] = {
#define CONFIG(id, key, kind, def, min, max, choices, obeyed, doc)                                 \
	[TOPIC_CONFIG_##id] = {key, kind, def, min, (int64_t)max, choices, obeyed, doc},
#include "log/topic_config.def"
#undef CONFIG
};

const char *topic_config_key(enum topic_config_id id)
{
	ASSERT(id < TOPIC_CONFIG_COUNT);
	return configs[id].key;
}

bool topic_config_by_key(struct str key, enum topic_config_id *ret_id)
{
	for (enum topic_config_id id = 0; id < TOPIC_CONFIG_COUNT; id++)
		if (str_equal(key, str_of(configs[id].key))) {
			*ret_id = id;
			return true;
		}
	return false;
}

bool log_topic_config_entry(size_t index, struct log_config_entry *ret_entry)
{
	static const char *const types[] = {
	    [LONG] = "long",
	    [INT] = "int",
	    [DOUBLE] = "double",
	    [BOOLEAN] = "boolean",
	    [CHOICE] = "string",
	    [LIST] = "list",
	    [TEXT] = "string",
	};
	if (index >= TOPIC_CONFIG_COUNT)
		return false;
	const struct config *c = &configs[index];
	*ret_entry = (struct log_config_entry){c->key, types[c->kind], c->doc, c->obeyed};
	return true;
}

/* ---- did you mean ---------------------------------------------------------------------------- */

/*
 * Edits (insert, drop, change) between two words; words longer than the longest key are as far as
 * can be.
 */
static size_t edit_distance(struct str a, const char *b)
{
	enum { WORD_MAX = 64 };
	size_t row[WORD_MAX + 1], b_len = strlen(b);
	if (a.len > WORD_MAX || b_len > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.len; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t best = diagonal + (a.ptr[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_len];
}

static enum err unknown_key(struct str key)
{
	size_t best = SIZE_MAX;
	const char *nearest = NULL;
	char quoted[80];
	for (size_t id = 0; id < TOPIC_CONFIG_COUNT; id++) {
		size_t distance = edit_distance(key, configs[id].key);
		if (distance < best) {
			best = distance;
			nearest = configs[id].key;
		}
	}
	diag_quote(quoted, sizeof(quoted), key);
	if (best <= 1 + key.len / 3)
		return err_note(
		    ERR_INVALID_CONFIG, "unknown key %s, did you mean %s?", quoted, nearest);
	return err_note(ERR_INVALID_CONFIG, "unknown key %s", quoted);
}

/* ---- checking -------------------------------------------------------------------------------- */

static bool is_choice(const char *choices, struct str value)
{
	while (*choices) {
		size_t len = strcspn(choices, "|");
		if (str_equal(value, str_from(choices, len)))
			return true;
		choices += len + (choices[len] == '|');
	}
	return false;
}

static struct str trimmed(struct str s)
{
	while (s.len > 0 && s.ptr[0] == ' ')
		s = str_from(s.ptr + 1, s.len - 1);
	while (s.len > 0 && s.ptr[s.len - 1] == ' ')
		s.len--;
	return s;
}

/* The next element of a comma-separated list; false when there is none left. */
static bool list_next(struct str *rest, struct str *ret_item)
{
	if (rest->len == 0)
		return false;
	const char *comma = memchr(rest->ptr, ',', rest->len);
	size_t len = comma ? (size_t)(comma - rest->ptr) : rest->len;
	*ret_item = trimmed(str_from(rest->ptr, len));
	size_t skip = len + (comma ? 1 : 0);
	*rest = str_from(rest->ptr + skip, rest->len - skip);
	return true;
}

static enum err check_list(const struct config *c, struct str value)
{
	struct str rest = value, item;
	while (list_next(&rest, &item))
		if (!is_choice(c->choices, item))
			return err_note(ERR_INVALID_CONFIG, "%s: each item must be one of %s",
			    c->key, c->choices);
	if (value.len == 0 || value.ptr[value.len - 1] == ',')
		return err_note(ERR_INVALID_CONFIG, "%s: an item is empty", c->key);
	return ERR_OK;
}

static enum err check_number(const struct config *c, struct str value)
{
	int64_t number;
	if (!str_to_i64(value, &number))
		return err_note(ERR_INVALID_CONFIG, "%s: not a whole number", c->key);
	if (number < c->min || number > c->max)
		return err_note(ERR_INVALID_CONFIG, "%s: must be between %lld and %lld", c->key,
		    (long long)c->min, (long long)c->max);
	return ERR_OK;
}

static enum err check_double(const struct config *c, const char *value)
{
	char *end;
	double number = strtod(value, &end);
	if (*value == '\0' || *end != '\0' ||
	    !(number >= (double)c->min && number <= (double)c->max))
		return err_note(ERR_INVALID_CONFIG, "%s: must be a number between %lld and %lld",
		    c->key, (long long)c->min, (long long)c->max);
	return ERR_OK;
}

/* Values are lines of the catalog's rows. */
static enum err check_text(const struct config *c, struct str value)
{
	if (value.len > TOPIC_CONFIG_VALUE_MAX)
		return err_note(
		    ERR_INVALID_CONFIG, "%s: longer than %d bytes", c->key, TOPIC_CONFIG_VALUE_MAX);
	for (size_t i = 0; i < value.len; i++)
		if ((unsigned char)value.ptr[i] < 0x20 || value.ptr[i] == 0x7f)
			return err_note(ERR_INVALID_CONFIG, "%s: control characters", c->key);
	if (!str_is_utf8(value))
		return err_note(ERR_INVALID_CONFIG, "%s: not UTF-8", c->key);
	return ERR_OK;
}

/* `value` is NUL-terminated and without control characters. */
static enum err check_value(const struct config *c, const char *text)
{
	struct str value = str_of(text);
	switch (c->kind) {
	case LONG:
	case INT:
		return check_number(c, value);
	case DOUBLE:
		return check_double(c, text);
	case BOOLEAN:
		if (str_equal(value, STR("true")) || str_equal(value, STR("false")))
			return ERR_OK;
		return err_note(ERR_INVALID_CONFIG, "%s: must be true or false", c->key);
	case CHOICE:
		if (is_choice(c->choices, value))
			return ERR_OK;
		return err_note(ERR_INVALID_CONFIG, "%s: must be one of %s", c->key, c->choices);
	case LIST:
		return check_list(c, value);
	case TEXT:
		break;
	}
	return ERR_OK;
}

/* ---- settings -------------------------------------------------------------------------------- */

void topic_settings_release(struct topic_settings *s)
{
	for (size_t id = 0; id < TOPIC_CONFIG_COUNT; id++)
		mem_free(s->value[id]);
	*s = (struct topic_settings){0};
}

enum err topic_settings_set(struct topic_settings *s, struct str key, struct str value)
{
	enum topic_config_id id;
	if (!topic_config_by_key(key, &id))
		return unknown_key(key);
	if (!value.ptr)
		return err_note(ERR_INVALID_CONFIG, "%s: no value", configs[id].key);
	value = trimmed(value);
	TRY(check_text(&configs[id], value));
	char *copy = mem_strdup(value);
	if (!copy)
		return ERR_NOMEM;
	enum err err = check_value(&configs[id], copy);
	if (err != ERR_OK) {
		mem_free(copy);
		return err;
	}
	mem_free(s->value[id]);
	s->value[id] = copy;
	return ERR_OK;
}

enum err log_config_check(struct str key, struct str value)
{
	struct topic_settings s = {0};
	enum err err = topic_settings_set(&s, key, value);
	topic_settings_release(&s);
	return err;
}

static enum err settings_add(struct topic_settings *s, struct str key, struct str value)
{
	enum topic_config_id id;
	if (topic_config_by_key(key, &id) && s->value[id])
		return err_note(ERR_INVALID_CONFIG, "%s is given twice", configs[id].key);
	return topic_settings_set(s, key, value);
}

enum err topic_settings_parse(
    const struct str (*pairs)[2], size_t count, struct topic_settings *ret_settings)
{
	struct topic_settings s = {0};
	for (size_t i = 0; i < count; i++) {
		enum err err = settings_add(&s, pairs[i][0], pairs[i][1]);
		if (err != ERR_OK) {
			topic_settings_release(&s);
			return err;
		}
	}
	*ret_settings = s;
	return ERR_OK;
}

const char *topic_settings_get(const struct topic_settings *own,
    const struct topic_settings *defaults, enum topic_config_id id, bool *ret_is_set)
{
	ASSERT(id < TOPIC_CONFIG_COUNT);
	if (ret_is_set)
		*ret_is_set = own->value[id] != NULL;
	if (own->value[id])
		return own->value[id];
	return defaults->value[id] ? defaults->value[id] : configs[id].standard;
}

static int64_t number_of(const char *text)
{
	int64_t number;
	bool good = str_to_i64(str_of(text), &number);
	ASSERT(good); /* checked when it was set */
	return number;
}

static unsigned cleanup_of(const char *text)
{
	unsigned bits = 0;
	struct str rest = str_of(text), item;
	while (list_next(&rest, &item))
		bits |= str_equal(item, STR("compact")) ? LOG_CLEANUP_COMPACT : LOG_CLEANUP_DELETE;
	return bits;
}

static enum log_durability durability_of(const char *text)
{
	if (str_equal(str_of(text), STR("interval")))
		return LOG_DURABILITY_INTERVAL;
	return str_equal(str_of(text), STR("none")) ? LOG_DURABILITY_NONE : LOG_DURABILITY_FSYNC;
}

static int compression_of(const char *text)
{
	int codec;
	return batch_codec_by_name(str_of(text), &codec) ? codec : -1;
}

struct log_topic_config topic_settings_decode(
    const struct topic_settings *own, const struct topic_settings *defaults)
{
#define TEXT_OF(id) topic_settings_get(own, defaults, TOPIC_CONFIG_##id, NULL)
	bool append = str_equal(str_of(TEXT_OF(TIMESTAMP_TYPE)), STR("LogAppendTime"));
	return (struct log_topic_config){
	    .cleanup = cleanup_of(TEXT_OF(CLEANUP)),
	    .retention_ms = number_of(TEXT_OF(RETENTION_MS)),
	    .retention_bytes = number_of(TEXT_OF(RETENTION_BYTES)),
	    .segment_bytes = (uint64_t)number_of(TEXT_OF(SEGMENT_BYTES)),
	    .segment_ms = number_of(TEXT_OF(SEGMENT_MS)),
	    .max_message_bytes = (uint32_t)number_of(TEXT_OF(MAX_MESSAGE_BYTES)),
	    .timestamp_type = append ? LOG_TIME_APPEND : LOG_TIME_CREATE,
	    .timestamp_before_ms = number_of(TEXT_OF(TIMESTAMP_BEFORE)),
	    .timestamp_after_ms = number_of(TEXT_OF(TIMESTAMP_AFTER)),
	    .durability = durability_of(TEXT_OF(DURABILITY)),
	    .compression = compression_of(TEXT_OF(COMPRESSION)),
	    .delete_retention_ms = number_of(TEXT_OF(DELETE_RETENTION)),
	    .min_compaction_lag_ms = number_of(TEXT_OF(MIN_COMPACTION_LAG)),
	    .max_compaction_lag_ms = number_of(TEXT_OF(MAX_COMPACTION_LAG)),
	    .min_cleanable_ratio = strtod(TEXT_OF(MIN_CLEANABLE), NULL),
	    .flush_ms = number_of(TEXT_OF(FLUSH_MS)),
	    .flush_messages = number_of(TEXT_OF(FLUSH_MESSAGES)),
	    .damaged_writable = str_equal(str_of(TEXT_OF(DAMAGED_WRITABLE)), STR("true")),
	};
#undef TEXT_OF
}

void topic_settings_warn(const struct topic_settings *s, struct str topic)
{
	char value[128];
	for (size_t id = 0; id < TOPIC_CONFIG_COUNT; id++) {
		const struct config *c = &configs[id];
		if (!s->value[id] || c->obeyed ||
		    str_equal(str_of(s->value[id]), str_of(c->standard)))
			continue;
		diag(DIAG_WARN, "config_not_obeyed", "topic=" STR_FMT " key=%s value=%s",
		    STR_ARG(topic), c->key, diag_quote(value, sizeof(value), str_of(s->value[id])));
	}
}
