/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of the catalog, one at a time: see catalog_change.h for the steps. */
#include "log/catalog_change.h"
#include <stdio.h>

/* ---- answers --------------------------------------------------------------------------------- */

static void answer(struct log_topic_req *req, enum err err)
{
	req->err = err;
	req->message[0] = '\0';
	if (err != ERR_OK) {
		const char *chain = err_chain();
		snprintf(req->message, sizeof(req->message), "%s", *chain ? chain : err_text(err));
	}
	req->done(req);
}

static void queue_kick(struct catalog *c)
{
	if (c->queue_posted || list_empty(&c->queue) || c->change.req)
		return;
	c->queue_posted = true;
	loop_defer(c->log->loop, &c->queue_mail);
}

/* Ends the change under way. Releases what it prepared and has not given away. */
static void change_end(struct catalog *c, enum err err)
{
	struct catalog_change *change = &c->change;
	struct log_topic_req *req = change->req;
	topic_view_release(&change->view);
	mem_free(change->partitions);
	mem_free(change->deletes);
	*change = (struct catalog_change){0};
	queue_kick(c);
	answer(req, err);
}

/* ---- checks ---------------------------------------------------------------------------------- */

static enum err check_room(const struct catalog *c, int32_t added)
{
	if (c->partition_total + added > LOG_PARTITIONS_MAX)
		return err_note(
		    ERR_LIMIT, "a server has at most %d partitions", LOG_PARTITIONS_MAX);
	return ERR_OK;
}

static enum err check_count(int32_t count)
{
	if (count < 1 || count > TOPIC_PARTITIONS_MAX)
		return err_note(
		    ERR_INVALID_PARTITIONS, "a topic has 1 to %d partitions", TOPIC_PARTITIONS_MAX);
	return ERR_OK;
}

/* The topic that a change is about; the server's own are not for others. */
static enum err find_for(
    struct catalog *c, const struct log_topic_req *req, struct topic **ret_topic)
{
	struct topic *t = topic_by_name(c, req->name);
	if (!t)
		return err_note(ERR_UNKNOWN_TOPIC, "no topic of that name");
	ASSERT(t->live); /* changes are made one at a time */
	if (t == c->self || (t->pub.internal && !req->internal))
		return err_note(
		    ERR_INVALID_TOPIC, "topics that start with __ are the server's own");
	*ret_topic = t;
	return ERR_OK;
}

/* ---- durable --------------------------------------------------------------------------------- */

static void change_publish(struct log_table_put *put);

static void change_put(struct catalog *c, const struct log_row *rows, size_t count)
{
	c->change.put =
	    (struct log_table_put){.rows = rows, .row_count = count, .done = change_publish};
	log_table_put(c->table, &c->change.put);
}

/* Puts the row of a topic as `row` says. */
static enum err put_topic_row(struct catalog *c, struct str name, const struct topic_row *row)
{
	struct writer key, value;
	struct row_name row_name = {.kind = ROW_TOPIC, .topic = name};
	writer_init(&key, KIB);
	writer_init(&value, MIB);
	row_name_write(&key, &row_name);
	topic_row_write(&value, row);
	enum err err = key.err != ERR_OK ? key.err : value.err;
	struct log_row pair = {writer_bytes(&key), writer_bytes(&value)};
	if (err == ERR_OK)
		change_put(c, &pair, 1);
	writer_release(&key);
	writer_release(&value);
	return err;
}

/* ---- create ---------------------------------------------------------------------------------- */

static enum err create_check(struct catalog *c, const struct log_topic_req *req)
{
	TRY(log_topic_name_check(req->name));
	if (topic_by_name(c, req->name))
		return err_note(ERR_TOPIC_EXISTS, "topic " STR_FMT " exists", STR_ARG(req->name));
	if (log_topic_name_reserved(req->name) != req->internal)
		return err_note(
		    ERR_INVALID_TOPIC, "__kappa_*, __consumer_offsets and __transaction_state are "
		                       "the server's own topics");
	TRY(check_count(req->partition_count));
	return check_room(c, req->partition_count);
}

/* The topic with open partitions, in the maps but not live. */
static enum err create_prepare(
    struct catalog *c, struct str name, struct topic_row *row, struct topic **ret_topic)
{
	struct topic *t;
	TRY(topic_new(c, name, row, &t));
	enum err err = topic_partitions_open(t, 0, row->partitions, t->partitions);
	if (err == ERR_EXISTS)
		err = err_note(
		    ERR_REFUSED, "its directory holds another topic's data: adopt or move it away");
	if (err != ERR_OK) {
		topic_free(t);
		return err;
	}
	err = topic_link(c, t);
	if (err != ERR_OK) {
		topic_partitions_close(t->partitions, 0, row->partitions);
		topic_free(t);
		return err;
	}
	*ret_topic = t;
	return ERR_OK;
}

static void create_undo(struct catalog *c)
{
	struct topic *t = c->change.topic;
	topic_unlink(c, t);
	topic_partitions_close(t->partitions, 0, t->pub.partition_count);
	topic_free(t);
}

static enum err start_create(struct catalog *c, struct log_topic_req *req)
{
	struct topic_row row = {.id = uuid_random(c->log->io), .partitions = req->partition_count};
	TRY(create_check(c, req));
	TRY(topic_settings_parse(req->configs, req->config_count, &row.settings));
	if (req->validate_only) {
		topic_settings_release(&row.settings);
		return ERR_OK;
	}
	struct topic *t;
	enum err err = create_prepare(c, req->name, &row, &t);
	topic_settings_release(&row.settings); /* empty if the topic took them */
	if (err != ERR_OK)
		return err;
	c->change.topic = t;
	const struct topic_row stored = {t->pub.id, t->pub.partition_count, *t->view.settings};
	err = put_topic_row(c, t->pub.name, &stored);
	if (err != ERR_OK)
		create_undo(c);
	return err;
}

/* ---- add partitions, set configuration ------------------------------------------------------- */

static enum err start_add_partitions(struct catalog *c, struct log_topic_req *req)
{
	struct topic *t;
	TRY(find_for(c, req, &t));
	TRY(check_count(req->partition_count));
	int32_t from = t->pub.partition_count, to = req->partition_count;
	if (to <= from)
		return err_note(
		    ERR_INVALID_PARTITIONS, "the topic has %d partitions already", from);
	TRY(check_room(c, to - from));
	if (req->validate_only)
		return ERR_OK;
	struct log_partition **all = mem_calloc((size_t)to, sizeof(struct log_partition *));
	if (!all)
		return ERR_NOMEM;
	c->change.topic = t;
	c->change.partitions = all;
	memcpy(all, t->partitions, (size_t)from * sizeof(struct log_partition *));
	TRY(topic_partitions_open(t, from, to, all));
	const struct topic_row row = {t->pub.id, to, *t->view.settings};
	enum err err = put_topic_row(c, t->pub.name, &row);
	if (err != ERR_OK)
		topic_partitions_close(all, from, to);
	return err;
}

static enum err start_set_config(struct catalog *c, struct log_topic_req *req)
{
	struct topic *t;
	struct topic_settings settings;
	TRY(find_for(c, req, &t));
	TRY(topic_settings_parse(req->configs, req->config_count, &settings));
	if (req->validate_only) {
		topic_settings_release(&settings);
		return ERR_OK;
	}
	enum err err = topic_view_new(c, t->pub.internal, &settings, &c->change.view);
	topic_settings_release(&settings);
	if (err != ERR_OK)
		return err;
	c->change.topic = t;
	const struct topic_row row = {t->pub.id, t->pub.partition_count, *c->change.view.settings};
	return put_topic_row(c, t->pub.name, &row);
}

/* ---- delete ---------------------------------------------------------------------------------- */

/* Rows of a deletion under construction: keys and values in one buffer. */
struct delete_rows {
	struct writer text;
	struct log_row *rows;
	size_t count;
};

/* Adds a tombstone, or the trash row. Positions, not pointers, until the text is complete. */
static void delete_add(
    struct delete_rows *d, const struct row_name *name, const struct trash_row *trash)
{
	size_t key_at = d->text.len;
	row_name_write(&d->text, name);
	size_t value_at = d->text.len;
	if (trash)
		trash_row_write(&d->text, trash);
	d->rows[d->count++] = (struct log_row){
	    .key = {NULL, value_at - key_at},
	    .value = {NULL, d->text.len - value_at},
	};
}

static void delete_point(struct delete_rows *d)
{
	size_t at = 0;
	for (size_t i = 0; i < d->count; i++) {
		d->rows[i].key.ptr = d->text.ptr + at;
		at += d->rows[i].key.len;
		d->rows[i].value.ptr = d->rows[i].value.len > 0 ? d->text.ptr + at : NULL;
		at += d->rows[i].value.len;
	}
	ASSERT(at == d->text.len);
}

static enum err put_delete_rows(struct catalog *c, struct topic *t)
{
	struct delete_rows d = {
	    .rows = mem_calloc((size_t)t->pub.partition_count + 2, sizeof(struct log_row))};
	if (!d.rows)
		return ERR_NOMEM;
	writer_init(&d.text, MIB);
	struct trash_row trash = {t->pub.name, t->pub.partition_count};
	struct row_name name = {.kind = ROW_TOPIC, .topic = t->pub.name};
	delete_add(&d, &name, NULL);
	name = (struct row_name){.kind = ROW_TRASH, .id = t->pub.id};
	delete_add(&d, &name, &trash);
	for (int32_t i = 0; i < t->pub.partition_count; i++) {
		name = (struct row_name){.kind = ROW_PARTITION, .id = t->pub.id, .partition = i};
		if (catalog_kept(c, &name))
			delete_add(&d, &name, NULL);
	}
	enum err err = d.text.err;
	if (err == ERR_OK) {
		delete_point(&d);
		change_put(c, d.rows, d.count);
	}
	writer_release(&d.text);
	mem_free(d.rows);
	return err;
}

static enum err start_delete(struct catalog *c, struct log_topic_req *req)
{
	struct topic *t;
	TRY(find_for(c, req, &t));
	if (req->validate_only)
		return ERR_OK;
	c->change.deletes =
	    mem_calloc((size_t)t->pub.partition_count, sizeof(c->change.deletes[0]));
	if (!c->change.deletes)
		return ERR_NOMEM;
	c->change.topic = t;
	return put_delete_rows(c, t);
}

static void trash_cleared(struct log_table_put *put)
{
	struct catalog_change *change = CONTAINER_OF(put, struct catalog_change, put);
	/* if it failed, the next start finds nothing in trash and removes the row */
	change_end(CONTAINER_OF(change, struct catalog, change), ERR_OK);
}

/* All directories have their new names: the topic's name is free, its row in trash can go. */
static void change_deleted(struct catalog *c)
{
	struct writer key;
	struct row_name name = {.kind = ROW_TRASH, .id = c->change.topic->pub.id};
	bool failed = c->change.delete_failed;
	topic_free(c->change.topic);
	c->change.topic = NULL;
	writer_init(&key, KIB);
	row_name_write(&key, &name);
	if (failed || key.err != ERR_OK) {
		writer_release(&key);
		change_end(c, ERR_OK); /* durable it is; the next start moves what is left */
		return;
	}
	struct log_row row = {.key = writer_bytes(&key)};
	c->change.put = (struct log_table_put){.rows = &row, .row_count = 1, .done = trash_cleared};
	log_table_put(c->table, &c->change.put);
	writer_release(&key);
}

static void partition_deleted(struct partition_delete_req *req)
{
	struct catalog *c = CONTAINER_OF(req, struct catalog_delete, req)->catalog;
	if (req->err != ERR_OK) {
		diag(DIAG_ERROR, "trash_failed", "topic=" STR_FMT " err=%s",
		    STR_ARG(c->change.topic->pub.name), err_name(req->err));
		c->change.delete_failed = true;
	}
	if (--c->change.deletes_left == 0)
		change_deleted(c);
}

static void publish_delete(struct catalog *c)
{
	struct catalog_change *change = &c->change;
	struct topic *t = change->topic;
	topic_unpublish(c, t);
	topic_unlink(c, t);
	int32_t count = t->pub.partition_count;
	change->deletes_left = count;
	for (int32_t i = 0; i < count; i++) {
		struct catalog_delete *d = &change->deletes[i];
		*d = (struct catalog_delete){
		    .catalog = c,
		    .req = {.partition = t->partitions[i], .done = partition_deleted},
		};
		partition_delete(c->log, &d->req);
	}
}

/* ---- publish --------------------------------------------------------------------------------- */

static void publish_create(struct catalog *c)
{
	struct topic *t = c->change.topic;
	char id[UUID_TEXT_BYTES];
	topic_publish(c, t);
	if (!t->pub.internal) /* those the server itself configures */
		topic_settings_warn(t->view.settings, t->pub.name);
	c->change.req->ret_id = t->pub.id;
	diag(DIAG_INFO, "topic_created", "topic=" STR_FMT " id=%s partitions=%d",
	    STR_ARG(t->pub.name), uuid_format(t->pub.id, id), t->pub.partition_count);
}

static void publish_partitions(struct catalog *c)
{
	struct topic *t = c->change.topic;
	c->partition_total += c->change.req->partition_count - t->pub.partition_count;
	mem_free(t->partitions);
	t->partitions = c->change.partitions;
	t->pub.partition_count = c->change.req->partition_count;
	c->topics_version++;
	c->change.partitions = NULL;
	c->change.req->ret_id = t->pub.id;
}

static void publish_config(struct catalog *c)
{
	topic_view_set(c->change.topic, &c->change.view);
	topic_settings_warn(c->change.topic->view.settings, c->change.topic->pub.name);
	c->change.req->ret_id = c->change.topic->pub.id;
}

/* The rows did not become durable. */
static void change_failed(struct catalog *c, enum err err)
{
	struct catalog_change *change = &c->change;
	if (change->req->op == LOG_TOPIC_CREATE)
		create_undo(c);
	if (change->req->op == LOG_TOPIC_ADD_PARTITIONS)
		topic_partitions_close(change->partitions, change->topic->pub.partition_count,
		    change->req->partition_count);
	err_clear();
	change_end(c, err);
}

static void change_publish(struct log_table_put *put)
{
	struct catalog_change *change = CONTAINER_OF(put, struct catalog_change, put);
	struct catalog *c = CONTAINER_OF(change, struct catalog, change);
	if (put->err != ERR_OK) {
		change_failed(c, put->err);
		return;
	}
	switch (change->req->op) {
	case LOG_TOPIC_CREATE:
		publish_create(c);
		break;
	case LOG_TOPIC_ADD_PARTITIONS:
		publish_partitions(c);
		break;
	case LOG_TOPIC_SET_CONFIG:
		publish_config(c);
		break;
	case LOG_TOPIC_DELETE:
		change->req->ret_id = change->topic->pub.id;
		publish_delete(c);
		return;
	}
	change_end(c, ERR_OK);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static enum err change_start(struct catalog *c, struct log_topic_req *req)
{
	switch (req->op) {
	case LOG_TOPIC_CREATE:
		return start_create(c, req);
	case LOG_TOPIC_DELETE:
		return start_delete(c, req);
	case LOG_TOPIC_ADD_PARTITIONS:
		return start_add_partitions(c, req);
	case LOG_TOPIC_SET_CONFIG:
		return start_set_config(c, req);
	}
	return err_note(ERR_INVALID, "unknown change of a topic");
}

void change_queue_run(struct mail *mail)
{
	struct catalog *c = CONTAINER_OF(mail, struct catalog, queue_mail);
	c->queue_posted = false;
	struct list_node *node = c->change.req ? NULL : list_pop_front(&c->queue);
	if (!node)
		return;
	struct log_topic_req *req = CONTAINER_OF(node, struct log_topic_req, node);
	c->change.req = req;
	err_clear();
	enum err err = c->log->closing ? ERR_CLOSED : change_start(c, req);
	if (err != ERR_OK || req->validate_only)
		change_end(c, err);
}

void log_topic_submit(struct log *log, struct log_topic_req *req)
{
	struct catalog *c = log->catalog;
	loop_assert_owner(log->loop);
	ASSERT(req->done);
	req->log = log;
	req->err = ERR_OK;
	req->ret_id = (struct log_uuid){{0}};
	list_push_back(&c->queue, &req->node);
	queue_kick(c);
}
