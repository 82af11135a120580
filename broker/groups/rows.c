/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

enum { OFFSET_KEY_VERSION = 1, GROUP_KEY_VERSION = 2, VALUE_VERSION = 3 };

/* ---- writing --------------------------------------------------------------------------------- */

void row_list_init(struct row_list *list)
{
	*list = (struct row_list){0};
	msg_out_init(&list->out, BATCH_BYTES_MAX);
	list->out.copy = true;
}

void row_list_release(struct row_list *list)
{
	msg_out_release(&list->out);
	mem_free(list->spans);
	mem_free(list->rows);
}

static struct msg_form form_of(const struct msg_shape *shape, int version)
{
	return (struct msg_form){.shape = shape, .version = (int16_t)version};
}

static struct row_span *add_span(struct row_list *list)
{
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? 2 * list->capacity : 16;
		struct row_span *grown = mem_realloc(list->spans, capacity * sizeof(*grown));
		if (!grown) {
			list->err = ERR_NOMEM;
			return NULL;
		}
		list->spans = grown;
		list->capacity = capacity;
	}
	return &list->spans[list->count++];
}

static struct msg_form form_of_half(const struct row_half *half)
{
	return (struct msg_form){
	    .shape = half->shape, .version = (int16_t)half->version, .flexible = half->flexible};
}

void row_list_add(struct row_list *list, struct row_half key, struct row_half value)
{
	struct row_span *span = list->err == ERR_OK ? add_span(list) : NULL;
	if (!span)
		return;
	struct writer *w = &list->out.w;
	*span = (struct row_span){.key = w->len, .tombstone = !value.message};
	write_u16_be(w, (uint16_t)key.version);
	list->err = msg_encode(form_of_half(&key), key.message, &list->out);
	span->key_len = w->len - span->key;
	span->value = w->len;
	if (list->err != ERR_OK || !value.message)
		return;
	write_u16_be(w, (uint16_t)value.version);
	list->err = msg_encode(form_of_half(&value), value.message, &list->out);
	span->value_len = w->len - span->value;
}

void row_list_raw(struct row_list *list, struct bytes key, struct bytes value)
{
	struct row_span *span = list->err == ERR_OK ? add_span(list) : NULL;
	if (!span)
		return;
	struct writer *w = &list->out.w;
	*span = (struct row_span){.key = w->len,
	    .key_len = key.len,
	    .value = w->len + key.len,
	    .value_len = value.len,
	    .tombstone = !value.ptr};
	write_bytes(w, key);
	if (value.ptr)
		write_bytes(w, value);
}

void row_list_offset(struct row_list *list, const struct offset_commit_key *key,
    const struct offset_commit_value *value)
{
	/* only version 1 can say when an offset expires */
	int version = value && value->expire_timestamp >= 0 ? 1 : VALUE_VERSION;
	row_list_add(list,
	    (struct row_half){&offset_commit_key_shape, key, OFFSET_KEY_VERSION, false},
	    (struct row_half){&offset_commit_value_shape, value, version, false});
}

void row_list_group(
    struct row_list *list, struct str group, const struct group_metadata_value *value)
{
	struct group_metadata_key key = {.group = group};
	row_list_add(list,
	    (struct row_half){&group_metadata_key_shape, &key, GROUP_KEY_VERSION, false},
	    (struct row_half){&group_metadata_value_shape, value, VALUE_VERSION, false});
}

enum err row_list_rows(struct row_list *list, const struct log_row **ret_rows)
{
	TRY(list->err);
	TRY(list->out.w.err);
	mem_free(list->rows);
	list->rows = mem_calloc(list->count ? list->count : 1, sizeof(*list->rows));
	if (!list->rows)
		return ERR_NOMEM;
	struct bytes all = writer_bytes(&list->out.w);
	for (size_t i = 0; i < list->count; i++) {
		const struct row_span *span = &list->spans[i];
		list->rows[i].key = bytes_slice(all, span->key, span->key_len);
		if (!span->tombstone)
			list->rows[i].value = bytes_slice(all, span->value, span->value_len);
	}
	*ret_rows = list->rows;
	return ERR_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

enum err row_key_read(struct bytes key, enum row_kind *ret_kind, struct offset_commit_key *ret_key)
{
	struct reader r = reader_of(key);
	int16_t version = read_i16_be(&r);
	struct offset_commit_key found = {0};
	struct group_metadata_key group = {0};
	enum row_kind kind = ROW_UNKNOWN;
	enum err e = ERR_OK;
	if (version == 0 || version == OFFSET_KEY_VERSION) {
		kind = ROW_OFFSET;
		e = msg_decode(form_of(&offset_commit_key_shape, version), &r, NULL, &found);
	} else if (version == GROUP_KEY_VERSION) {
		kind = ROW_GROUP;
		e = msg_decode(form_of(&group_metadata_key_shape, version), &r, NULL, &group);
		found.group = group.group;
	}
	if (e != ERR_OK || r.bad || (kind != ROW_UNKNOWN && reader_left(&r) > 0))
		return err_note(ERR_CORRUPT, "key of version %d, %zu bytes", version, key.len);
	*ret_kind = kind;
	*ret_key = found;
	return ERR_OK;
}

static enum err value_read(
    const struct msg_shape *shape, struct bytes value, struct arena *arena, void *ret_value)
{
	struct reader r = reader_of(value);
	int16_t version = read_i16_be(&r);
	if (r.bad || version < 0 || version > 4)
		return err_note(ERR_CORRUPT, "%s version %d", shape->name, version);
	struct msg_form form = {.shape = shape, .version = version, .flexible = version >= 4};
	enum err e = msg_decode(form, &r, arena, ret_value);
	if (e == ERR_NOMEM || e == ERR_LIMIT)
		return e;
	if (e != ERR_OK || reader_left(&r) > 0)
		return err_note(
		    ERR_CORRUPT, "%s version %d, %zu bytes", shape->name, version, value.len);
	return ERR_OK;
}

enum err row_offset_read(
    struct bytes value, struct arena *arena, struct offset_commit_value *ret_value)
{
	return value_read(&offset_commit_value_shape, value, arena, ret_value);
}

enum err row_group_read(
    struct bytes value, struct arena *arena, struct group_metadata_value *ret_value)
{
	return value_read(&group_metadata_value_shape, value, arena, ret_value);
}
