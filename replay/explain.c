/* SPDX-License-Identifier: Apache-2.0 */
/* explain-row: one JSON object with a row and the records that made it. */
#include "log/base/json.h"
#include "replay/state.h"

struct explain {
	struct replay *replay;
	struct json_writer json;
	struct writer *out;
	uint64_t listed;
};

static void write_value(struct explain *x, struct type type, struct datum d)
{
	struct writer w;
	writer_init(&w, 64 * MIB);
	proc_write_json_value(&w, type, d);
	if (w.err)
		x->out->err = x->out->err ? x->out->err : w.err;
	else
		json_raw(&x->json, bytes_str(writer_bytes(&w)));
	writer_release(&w);
}

static enum err write_row(struct explain *x, struct proc_snapshot *snap, const struct proc_row *row)
{
	const struct proc_column *columns;
	const uint32_t *keys;
	uint32_t count, key_count;
	bool visible;
	proc_snapshot_columns(snap, &columns, &count, &keys, &key_count, &visible);
	json_key(&x->json, STR("key"));
	json_object_begin(&x->json);
	for (uint32_t i = 0; i < key_count; i++) {
		json_key(&x->json, columns[keys[i]].name);
		write_value(x, columns[keys[i]].type, row->values[keys[i]]);
	}
	json_object_end(&x->json);
	json_key(&x->json, STR("row"));
	json_object_begin(&x->json);
	for (uint32_t i = 0; i < count; i++) {
		json_key(&x->json, columns[i].name);
		write_value(x, columns[i].type, row->values[i]);
	}
	json_object_end(&x->json);
	return x->out->err;
}

/* Values as in files of records: JSON where they are JSON, else in base64. */
static enum err write_input(void *ctx, const struct proc_input_record *r)
{
	struct explain *x = ctx;
	struct json_writer *j = &x->json;
	x->listed++;
	json_object_begin(j);
	json_key_str(j, "topic", r->topic);
	json_key_i64(j, "partition", r->partition);
	json_key_i64(j, "offset", r->offset);
	json_key_u64(j, "sequence", r->sequence);
	json_key_i64(j, "timestamp", r->timestamp_ms);
	json_key_i64(j, "effect", r->effect);
	if (json_is_valid(bytes_str(r->value))) {
		json_key(j, STR("value"));
		write_value(
		    x, (struct type){TYPE_JSONB, 0, 0}, (struct datum){.s = bytes_str(r->value)});
	} else {
		json_key(j, STR("value_base64"));
		json_base64(j, r->value);
	}
	json_object_end(j);
	return x->out->err;
}

struct target {
	struct str view;
	int32_t version;
	struct str key;
	uint64_t limit;
};

static enum err explain(
    struct explain *x, const struct target *t, struct proc_snapshot *snap, struct writer *key)
{
	struct proc_row row;
	uint64_t total = 0;
	TRY(proc_snapshot_parse_key(snap, t->key, key));
	enum err err = proc_snapshot_find(snap, writer_bytes(key), &row);
	if (err == ERR_NOT_FOUND)
		return err_note(err, "view \"" STR_FMT "\" version %d has no row with key " STR_FMT,
		    STR_ARG(t->view), t->version, STR_ARG(t->key));
	TRY(err);
	json_object_begin(&x->json);
	json_key_str(&x->json, "view", t->view);
	json_key_i64(&x->json, "version", t->version);
	json_key_u64(&x->json, "sequence", proc_snapshot_sequence(snap));
	TRY(write_row(x, snap, &row));
	json_key(&x->json, STR("inputs"));
	json_array_begin(&x->json);
	TRY(proc_explain_row(
	    x->replay->proc, snap, writer_bytes(key), t->limit, write_input, x, &total));
	json_array_end(&x->json);
	json_key_u64(&x->json, "total", total);
	json_key_bool(&x->json, "complete", total == x->listed);
	json_object_end(&x->json);
	return x->out->err;
}

enum err replay_explain_row(struct replay *r, struct str view, int32_t version, struct str key,
    uint64_t limit, struct writer *out)
{
	struct explain x = {.replay = r, .out = out};
	struct proc_version_status s;
	struct proc_snapshot *snap = NULL;
	struct writer encoded;
	size_t at = out->len;
	TRY(proc_version_status(r->proc, view, version, &s));
	TRY(proc_snapshot_last(r->proc, view, s.version, &snap));
	struct target t = {.view = view, .version = s.version, .key = key, .limit = limit};
	json_write_init(&x.json, out);
	writer_init(&encoded, MIB);
	enum err err = explain(&x, &t, snap, &encoded);
	writer_release(&encoded);
	proc_snapshot_close(snap);
	if (err && out->err == ERR_OK)
		out->len = at; /* no half an object */
	return err;
}
