/* SPDX-License-Identifier: Apache-2.0 */
/* From what AlterConfigs and IncrementalAlterConfigs ask for to rows of the table. */
#include "broker/kafka/handlers.h"
#include "broker/settings/settings.h"

/* ---- one setting ----------------------------------------------------------------------------- */

/* Known, and one that can be changed while the server runs. */
static enum err find(const struct request *req, const struct setting_change *c, struct str key,
    enum setting_id *ret_id)
{
	bool group = c->owner.scope == SETTING_GROUP;
	char quoted[80];
	if (setting_find(key, group, ret_id))
		return ERR_OK;
	diag_quote(quoted, sizeof(quoted), key);
	if (!group && broker_setting_exists(req, key))
		return err_note(ERR_INVALID_REQUEST,
		    "%s cannot change while the server runs: it is in its configuration file",
		    quoted);
	return err_note(ERR_INVALID_CONFIG, "%s has no setting %s here",
	    group ? "a group" : "the broker", quoted);
}

/* What a list is before it is appended to or taken from. */
static struct str list_now(
    const struct settings *s, enum setting_id id, const struct setting_owner *owner)
{
	struct str own = settings_own(s, id, owner);
	return own.ptr ? own : settings_value(s, id);
}

static enum err new_value(struct request *req, const struct setting_change *c,
    const struct setting_op *op, enum setting_id id, struct str *ret_value)
{
	*ret_value = op->value;
	if (op->op == SETTING_DELETE) {
		*ret_value = (struct str){NULL, 0};
		return ERR_OK;
	}
	if (op->op != SETTING_SET && op->op != SETTING_APPEND && op->op != SETTING_SUBTRACT)
		return err_note(ERR_INVALID_REQUEST, "unknown operation %d", op->op);
	if (!op->value.ptr)
		return err_note(ERR_INVALID_REQUEST, "no value for " STR_FMT, STR_ARG(op->key));
	if (op->op != SETTING_SET) {
		if (strcmp(setting_type(id), "list") != 0)
			return err_note(
			    ERR_INVALID_CONFIG, STR_FMT " is not a list", STR_ARG(op->key));
		TRY(config_list_edit(req, list_now(req->broker->settings, id, &c->owner), op->value,
		    op->op == SETTING_APPEND, ret_value));
	}
	enum err err = setting_check(req->broker->settings, id, *ret_value);
	/* Kafka's code for a value that is not good for a broker */
	return err == ERR_INVALID_CONFIG && c->owner.scope != SETTING_GROUP
	           ? err_note(ERR_INVALID_REQUEST, "value of " STR_FMT, STR_ARG(op->key))
	           : err;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static enum err row_add(struct request *req, struct setting_rows *rows,
    const struct setting_owner *owner, struct str key, struct str value)
{
	struct writer w;
	writer_init(&w, 128 * KIB);
	setting_row_key(&w, owner, key);
	size_t key_len = w.len;
	if (value.ptr)
		setting_row_value(&w, value);
	struct bytes row =
	    w.err == ERR_OK ? arena_copy(&req->arena, writer_bytes(&w)) : (struct bytes){NULL, 0};
	writer_release(&w);
	if (!row.ptr)
		return ERR_NOMEM;
	rows->rows[rows->count++] = (struct log_row){.key = bytes_slice(row, 0, key_len),
	    .value =
	        value.ptr ? bytes_slice(row, key_len, row.len - key_len) : (struct bytes){NULL, 0}};
	return ERR_OK;
}

static bool is_named(const struct setting_change *c, struct str key)
{
	for (size_t i = 0; i < c->op_count; i++) {
		if (str_equal(c->ops[i].key, key))
			return true;
	}
	return false;
}

/* Tombstones for what the owner has and the request does not name. */
static enum err drop_rest(
    struct request *req, const struct setting_change *c, struct setting_rows *rows)
{
	for (enum setting_id id = 0; id < SETTING_COUNT; id++) {
		const struct setting_def *d = setting_def(id);
		bool of_group = c->owner.scope == SETTING_GROUP;
		if (d->group == of_group && !is_named(c, str_of(d->key)) &&
		    settings_own(req->broker->settings, id, &c->owner).ptr)
			TRY(row_add(req, rows, &c->owner, str_of(d->key), (struct str){NULL, 0}));
	}
	return ERR_OK;
}

enum err setting_change_rows(
    struct request *req, const struct setting_change *c, struct setting_rows *ret_rows)
{
	struct setting_rows rows = {.count = 0};
	size_t added = 0;
	enum setting_id id;
	struct str value;
	if (c->op_count > SETTING_COUNT)
		return err_note(
		    ERR_INVALID_REQUEST, "%zu settings: there are %d", c->op_count, SETTING_COUNT);
	rows.rows = request_alloc(req, (c->op_count + SETTING_COUNT) * sizeof(*rows.rows));
	if (!rows.rows)
		return ERR_LIMIT;
	for (size_t i = 0; i < c->op_count; i++) {
		const struct setting_op *op = &c->ops[i];
		for (size_t k = 0; k < i; k++)
			if (str_equal(c->ops[k].key, op->key))
				return err_note(ERR_INVALID_REQUEST, STR_FMT " is given twice",
				    STR_ARG(op->key));
		enum err known = find(req, c, op->key, &id);
		if (known == ERR_INVALID_CONFIG && op->op == SETTING_DELETE) {
			err_clear();
			continue; /* as in Kafka: nobody has set it */
		}
		TRY(known);
		TRY(new_value(req, c, op, id, &value));
		TRY(row_add(req, &rows, &c->owner, op->key, value));
		added += value.ptr && !settings_own(req->broker->settings, id, &c->owner).ptr;
	}
	if (c->whole)
		TRY(drop_rest(req, c, &rows));
	if (added > 0 && req->broker->settings->at.count + added > SETTINGS_MAX)
		return err_note(ERR_LIMIT, "at most %d settings", SETTINGS_MAX);
	*ret_rows = rows;
	return ERR_OK;
}
