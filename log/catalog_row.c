/* SPDX-License-Identifier: Apache-2.0 */
/* Text of the catalog's rows, both ways. */
#include "log/catalog_row.h"

/* ---- names ----------------------------------------------------------------------------------- */

enum err log_topic_name_check(struct str name)
{
	if (name.len == 0 || name.len > TOPIC_NAME_MAX)
		return err_note(
		    ERR_INVALID_TOPIC, "a topic name has 1 to %d characters", TOPIC_NAME_MAX);
	if (str_equal(name, STR(".")) || str_equal(name, STR("..")))
		return err_note(ERR_INVALID_TOPIC, "a topic cannot be named . or ..");
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
			return err_note(ERR_INVALID_TOPIC,
			    "a topic name has letters, digits, '.', '_' and '-'");
	}
	return ERR_OK;
}

bool log_topic_name_reserved(struct str name)
{
	static const char ours[] = "__kappa_";
	size_t len = sizeof(ours) - 1;
	return (name.len >= len && memcmp(name.ptr, ours, len) == 0) ||
	       str_equal(name, STR("__consumer_offsets")) ||
	       str_equal(name, STR("__transaction_state"));
}

/* Cuts the part before the next '/' off `rest`; all of it when there is none. */
static struct str next_part(struct str *rest)
{
	const char *slash = rest->len > 0 ? memchr(rest->ptr, '/', rest->len) : NULL;
	size_t len = slash ? (size_t)(slash - rest->ptr) : rest->len;
	struct str part = str_from(rest->ptr, len);
	size_t skip = len + (slash ? 1 : 0);
	*rest = str_from(rest->ptr + skip, rest->len - skip);
	return part;
}

static bool parse_partition(struct str text, int32_t *ret_partition)
{
	int64_t n;
	if (!str_to_i64(text, &n) || n < 0 || n >= TOPIC_PARTITIONS_MAX)
		return false;
	*ret_partition = (int32_t)n;
	return true;
}

static bool parse_kind(struct str word, enum row_kind *ret_kind)
{
	static const char *const words[] = {
	    [ROW_TOPIC] = "topic",
	    [ROW_PARTITION] = "partition",
	    [ROW_TRASH] = "trash",
	    [ROW_GAP] = "gap",
	};
	for (enum row_kind kind = ROW_TOPIC; kind <= ROW_GAP; kind++)
		if (str_equal(word, str_of(words[kind]))) {
			*ret_kind = kind;
			return true;
		}
	return false;
}

struct row_name row_name_parse(struct bytes key)
{
	struct row_name unknown = {.kind = ROW_UNKNOWN}, name = unknown;
	struct str rest = bytes_str(key);
	if (key.len == 0 || !parse_kind(next_part(&rest), &name.kind))
		return unknown;
	if (name.kind == ROW_TOPIC) {
		name.topic = rest;
		return log_topic_name_check(rest) == ERR_OK ? name : unknown;
	}
	if (!uuid_parse(next_part(&rest), &name.id))
		return unknown;
	if (name.kind != ROW_TRASH && !parse_partition(next_part(&rest), &name.partition))
		return unknown;
	if (name.kind == ROW_GAP && !str_to_i64(next_part(&rest), &name.from))
		return unknown;
	return rest.len == 0 ? name : unknown;
}

void row_name_write(struct writer *w, const struct row_name *name)
{
	char id[UUID_TEXT_BYTES];
	uuid_format(name->id, id);
	switch (name->kind) {
	case ROW_TOPIC:
		write_cstr(w, "topic/");
		write_str(w, name->topic);
		return;
	case ROW_PARTITION:
		write_printf(w, "partition/%s/%d", id, name->partition);
		return;
	case ROW_TRASH:
		write_printf(w, "trash/%s", id);
		return;
	case ROW_GAP:
		write_printf(w, "gap/%s/%d/%lld", id, name->partition, (long long)name->from);
		return;
	case ROW_UNKNOWN:
		break;
	}
	ASSERT(!"a row of a known kind");
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* The next `key=value` line; false at the end. A line without '=' is all key. */
static bool next_line(struct str *rest, struct str *ret_key, struct str *ret_value)
{
	if (rest->len == 0)
		return false;
	const char *end = memchr(rest->ptr, '\n', rest->len);
	size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
	const char *equals = memchr(rest->ptr, '=', len);
	size_t key_len = equals ? (size_t)(equals - rest->ptr) : len;
	*ret_key = str_from(rest->ptr, key_len);
	*ret_value = equals ? str_from(equals + 1, len - key_len - 1) : str_from("", 0);
	size_t skip = len + (end ? 1 : 0);
	*rest = str_from(rest->ptr + skip, rest->len - skip);
	return true;
}

/* The value of `want` in a row's lines; an empty, null one when it is not there. */
static struct str line_of(struct bytes row, const char *want)
{
	struct str rest = bytes_str(row), key, value;
	while (next_line(&rest, &key, &value))
		if (str_equal(key, str_of(want)))
			return value;
	return (struct str){NULL, 0};
}

static enum err bad_row(const char *kind, const char *what)
{
	return err_note(ERR_CORRUPT, "catalog row of a %s: %s", kind, what);
}

/* ---- topics ---------------------------------------------------------------------------------- */

void topic_row_write(struct writer *w, const struct topic_row *row)
{
	char id[UUID_TEXT_BYTES];
	write_printf(w, "id=%s\npartitions=%d\n", uuid_format(row->id, id), row->partitions);
	for (enum topic_config_id i = 0; i < TOPIC_CONFIG_COUNT; i++)
		if (row->settings.value[i])
			write_printf(
			    w, "config.%s=%s\n", topic_config_key(i), row->settings.value[i]);
}

/* One `config.KEY=VALUE` line. */
static enum err add_config(struct topic_settings *settings, struct str key, struct str value)
{
	static const struct str prefix = {"config.", 7};
	char quoted[300];
	if (key.len <= prefix.len || memcmp(key.ptr, prefix.ptr, prefix.len) != 0)
		return ERR_OK;
	struct str name = str_from(key.ptr + prefix.len, key.len - prefix.len);
	enum err err = topic_settings_set(settings, name, value);
	if (err != ERR_INVALID_CONFIG)
		return err;
	diag(DIAG_WARN, "catalog_config_ignored", "key=%s reason=\"%s\"",
	    diag_quote(quoted, sizeof(quoted), name), "not valid in this version");
	err_clear();
	return ERR_OK;
}

enum err topic_row_parse(struct bytes value, struct topic_row *ret_row)
{
	struct topic_row row = {0};
	struct str count = line_of(value, "partitions");
	int64_t partitions;
	if (!uuid_parse(line_of(value, "id"), &row.id) || log_uuid_is_zero(row.id))
		return bad_row("topic", "no id");
	if (!str_to_i64(count, &partitions) || partitions < 1 || partitions > TOPIC_PARTITIONS_MAX)
		return bad_row("topic", "number of partitions");
	row.partitions = (int32_t)partitions;
	struct str rest = bytes_str(value), key, text;
	while (next_line(&rest, &key, &text)) {
		enum err err = add_config(&row.settings, key, text);
		if (err != ERR_OK) {
			topic_settings_release(&row.settings);
			return err;
		}
	}
	*ret_row = row;
	return ERR_OK;
}

/* ---- the others ------------------------------------------------------------------------------ */

void trash_row_write(struct writer *w, const struct trash_row *row)
{
	write_printf(w, "name=" STR_FMT "\npartitions=%d\n", STR_ARG(row->name), row->partitions);
}

enum err trash_row_parse(struct bytes value, struct trash_row *ret_row)
{
	int64_t partitions;
	struct str name = line_of(value, "name");
	if (!str_to_i64(line_of(value, "partitions"), &partitions) || partitions < 1 ||
	    partitions > TOPIC_PARTITIONS_MAX)
		return bad_row("deleted topic", "number of partitions");
	*ret_row = (struct trash_row){name, (int32_t)partitions};
	return ERR_OK;
}

void partition_row_write(struct writer *w, const struct catalog_partition_row *row)
{
	write_printf(
	    w, "log_start=%lld\nleader_epoch=%u\n", (long long)row->log_start, row->leader_epoch);
}

enum err partition_row_parse(struct bytes value, int64_t *ret_log_start, uint32_t *ret_leader_epoch)
{
	int64_t start;
	uint64_t epoch;
	if (!str_to_i64(line_of(value, "log_start"), &start) || start < 0)
		return bad_row("partition", "log_start");
	if (!str_to_u64(line_of(value, "leader_epoch"), &epoch) || epoch > INT32_MAX)
		return bad_row("partition", "leader_epoch");
	*ret_log_start = start;
	*ret_leader_epoch = (uint32_t)epoch;
	return ERR_OK;
}

void gap_row_write(struct writer *w, const struct catalog_partition_row *row)
{
	write_printf(w, "to=%lld\nfirst_sequence=%llu\nlast_sequence=%llu\n",
	    (long long)row->gap_to, (unsigned long long)row->gap_first_sequence,
	    (unsigned long long)row->gap_last_sequence);
}

enum err gap_row_to(struct bytes value, int64_t *ret_to)
{
	if (!str_to_i64(line_of(value, "to"), ret_to))
		return bad_row("gap", "to");
	return ERR_OK;
}

enum err gap_row_parse(
    struct bytes value, uint64_t *ret_first_sequence, uint64_t *ret_last_sequence)
{
	if (!str_to_u64(line_of(value, "first_sequence"), ret_first_sequence) ||
	    !str_to_u64(line_of(value, "last_sequence"), ret_last_sequence))
		return bad_row("gap", "sequences");
	return ERR_OK;
}
