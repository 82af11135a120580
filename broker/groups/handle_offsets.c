/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OffsetCommit, OffsetFetch, OffsetDelete. A commit is answered when its records are durable;
 * partitions it cannot be made for are answered with their own error, the others go on.
 */
#include "groups.h"
#include "subscribed.h"
#include "broker/auth/access.h"
#include "broker/kafka/groups.h"
#include "broker/kafka/handlers.h"
#include "broker/transactions/transactions.h"

/* ---- OffsetCommit ---------------------------------------------------------------------------- */

struct commit {
	struct offsets_put put;
	struct request *req;
	struct group_entry *entry;
	enum err refused; /* for all partitions: the group does not take the commit */
	const struct consumer_member *member; /* of a consumer group: asked about each partition */
};

/* Sets the error of every partition that has none yet. */
static void fail_rest(struct request *req, enum err e)
{
	struct offset_commit_response *r = req->response;
	for (uint32_t t = 0; t < r->topics.count; t++) {
		struct offset_commit_response_topic *topic = &r->topics.at[t];
		for (uint32_t p = 0; p < topic->partitions.count; p++) {
			if (topic->partitions.at[p].error_code == 0)
				topic->partitions.at[p].error_code =
				    err_kafka(groups_wire_error(e));
		}
	}
}

static void on_committed(struct offsets_put *put)
{
	struct commit *c = CONTAINER_OF(put, struct commit, put);
	if (put->err != ERR_OK)
		fail_rest(c->req, put->err);
	request_answer(c->req);
}

static enum err check_partition(struct commit *c, const struct log_topic *topic,
    const struct offset_commit_request_partition *p)
{
	struct groups *g = c->req->broker->groups;
	const struct offset_commit_request *body = c->req->body;
	if (p->partition_index < 0 || p->partition_index >= topic->partition_count)
		return ERR_UNKNOWN_TOPIC;
	if (c->member)
		TRY(consumer_may_commit(
		    c->member, body->generation_id_or_member_epoch, topic->id, p->partition_index));
	if (p->committed_metadata.len > OFFSET_METADATA_MAX)
		return ERR_OFFSET_METADATA_TOO_LARGE;
	return g->offset_count >= OFFSETS_MAX ? ERR_LIMIT : ERR_OK;
}

static void add_row(struct commit *c, const struct log_topic *topic,
    const struct offset_commit_request_partition *p)
{
	const struct offset_commit_request *body = c->req->body;
	int64_t now_ms = groups_wall_ms(c->req->broker->groups);
	struct offset_commit_key key = {
	    .group = c->entry->group.name, .topic = topic->name, .partition = p->partition_index};
	struct offset_commit_value value = {
	    .offset = p->committed_offset,
	    .leader_epoch = p->committed_leader_epoch,
	    .metadata = p->committed_metadata.ptr ? p->committed_metadata : STR(""),
	    .commit_timestamp = now_ms,
	    .expire_timestamp =
	        body->retention_time_ms >= 0 ? now_ms + body->retention_time_ms : -1,
	};
	offsets_put_add(&c->put, &key, &value);
}

static bool fill_topic(struct commit *c, const struct offset_commit_request_topic *from,
    struct offset_commit_response_topic *out)
{
	enum err unknown = ERR_OK;
	const struct log_topic *topic = topic_named(c->req, from->name, from->topic_id, &unknown);
	out->name = from->name;
	out->topic_id = from->topic_id;
	out->partitions.at =
	    request_new(c->req, &offset_commit_response_partition_shape, from->partitions.count);
	if (!out->partitions.at)
		return false;
	out->partitions.count = from->partitions.count;
	for (uint32_t i = 0; i < from->partitions.count; i++) {
		const struct offset_commit_request_partition *p = &from->partitions.at[i];
		enum err e = c->refused;
		if (e == ERR_OK)
			e = topic ? check_partition(c, topic, p) : unknown;
		out->partitions.at[i].partition_index = p->partition_index;
		out->partitions.at[i].error_code = err_kafka(groups_wire_error(e));
		if (e == ERR_OK)
			add_row(c, topic, p);
	}
	return true;
}

static bool fill_commit(struct commit *c)
{
	const struct offset_commit_request *body = c->req->body;
	struct offset_commit_response *r = c->req->response;
	r->topics.at = request_new(c->req, &offset_commit_response_topic_shape, body->topics.count);
	if (!r->topics.at)
		return false;
	for (uint32_t i = 0; i < body->topics.count; i++) {
		if (!fill_topic(c, &body->topics.at[i], &r->topics.at[i]))
			return false;
		r->topics.count++;
	}
	return true;
}

static enum err find_committer(
    struct request *req, struct group_entry **ret_entry, const struct consumer_member **ret_member)
{
	const struct offset_commit_request *body = req->body;
	struct groups *g = req->broker->groups;
	TRY(access_group(req, body->group_id));
	bool simple = body->generation_id_or_member_epoch < 0;
	struct group_entry *e = entry_find(g, body->group_id);
	if (!e && !simple)
		return req->version >= 9 ? ERR_GROUP_NOT_FOUND : ERR_ILLEGAL_GENERATION;
	if (!e)
		TRY(entry_make(g, body->group_id, &e));
	*ret_entry = e;
	struct commit_claim claim = {
	    .member_id = body->member_id,
	    .instance_id = body->group_instance_id,
	    .epoch = body->generation_id_or_member_epoch,
	    .knows_epochs = req->version >= 9,
	};
	return entry_may_commit(e, &claim, ret_member);
}

/* True when the commit is on its way to the log; else its partitions have their errors. */
static bool commit_start(struct commit *c)
{
	if (!c->entry || c->put.rows.count == 0)
		return false;
	c->put.done = on_committed;
	enum err e = offsets_put_start(&c->put);
	if (e != ERR_OK)
		fail_rest(c->req, e);
	return e == ERR_OK;
}

void handle_offset_commit(struct request *req)
{
	struct commit *c = request_alloc(req, sizeof(*c));
	if (!c) {
		request_fail(req, ERR_NOMEM);
		return;
	}
	c->req = req;
	c->refused = find_committer(req, &c->entry, &c->member);
	if (c->entry)
		offsets_put_init(&c->put, c->entry);
	bool filled = fill_commit(c);
	if (filled && commit_start(c))
		return;
	if (c->entry) {
		offsets_put_release(&c->put);
		entry_settle(c->entry);
	}
	if (filled)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}

/* ---- OffsetFetch ----------------------------------------------------------------------------- */

typedef struct offset_fetch_response_group_partition fetched_partition;
typedef struct offset_fetch_response_group_topic fetched_topic;

static void fill_offset(const struct offset *o, int32_t partition, fetched_partition *out)
{
	out->partition_index = partition;
	out->committed_offset = o ? o->offset : -1;
	out->committed_leader_epoch = o ? o->leader_epoch : -1;
	out->metadata = o ? o->metadata : STR("");
}

/* It is about to change, and who asks wants stable offsets only (KIP-447). */
static bool is_pending(
    const struct request *req, struct str group, struct str topic, int32_t partition)
{
	const struct offset_fetch_request *body = req->body;
	return req->version >= 7 && body->require_stable &&
	       transactions_pending(req->broker->transactions, group, topic, partition);
}

static void mark_unstable(fetched_partition *out)
{
	out->committed_offset = out->committed_leader_epoch = -1;
	out->metadata = STR("");
	out->error_code = err_kafka(ERR_UNSTABLE_OFFSET);
}

static bool fetch_asked(struct request *req, struct str group, const struct group_entry *e,
    const struct offset_fetch_request_group_topic *asked, fetched_topic *out)
{
	enum err unknown = ERR_OK;
	bool by_id = req->version >= 10;
	const struct log_topic *topic =
	    by_id ? topic_named(req, asked->name, asked->topic_id, &unknown) : NULL;
	struct str name = by_id ? (topic ? topic->name : (struct str){NULL, 0}) : asked->name;
	if (!by_id)
		unknown = access_topic(req, name);
	out->name = asked->name;
	out->topic_id = asked->topic_id;
	out->partitions.at = request_new(
	    req, &offset_fetch_response_group_partition_shape, asked->partition_indexes.count);
	if (!out->partitions.at)
		return false;
	out->partitions.count = asked->partition_indexes.count;
	for (uint32_t i = 0; i < asked->partition_indexes.count; i++) {
		int32_t partition = asked->partition_indexes.at[i];
		bool ask = e && name.ptr && unknown == ERR_OK;
		const struct offset *o = ask ? entry_offset(e, name, partition) : NULL;
		fill_offset(o, partition, &out->partitions.at[i]);
		out->partitions.at[i].error_code = err_kafka(unknown);
		if (name.ptr && unknown == ERR_OK && is_pending(req, group, name, partition))
			mark_unstable(&out->partitions.at[i]);
	}
	return true;
}

/* One topic of a sorted list; *at moves behind it. */
static bool fetch_topic(struct request *req, struct str group, const struct offset *const *all,
    size_t count, size_t *at, fetched_topic *out)
{
	size_t from = *at, end = from;
	while (end < count && str_equal(all[end]->topic, all[from]->topic))
		end++;
	*at = end;
	out->name = all[from]->topic;
	out->topic_id = all[from]->topic_id;
	out->partitions.at =
	    request_new(req, &offset_fetch_response_group_partition_shape, end - from);
	if (!out->partitions.at)
		return false;
	for (size_t i = from; i < end; i++) {
		fetched_partition *p = &out->partitions.at[out->partitions.count++];
		fill_offset(all[i], all[i]->partition, p);
		if (is_pending(req, group, all[i]->topic, all[i]->partition))
			mark_unstable(p);
	}
	return true;
}

static bool fetch_all(
    struct request *req, const struct group_entry *e, struct offset_fetch_response_group *out)
{
	const struct offset **all;
	size_t count, topics = 0, at = 0;
	if (!e) {
		out->topics.at = request_new(req, &offset_fetch_response_group_topic_shape, 0);
		return out->topics.at != NULL;
	}
	if (entry_offsets(e, &all, &count) != ERR_OK)
		return false;
	for (size_t i = 0; i < count; i++)
		topics += i == 0 || !str_equal(all[i]->topic, all[i - 1]->topic);
	out->topics.at = request_new(req, &offset_fetch_response_group_topic_shape, topics);
	bool ok = out->topics.at != NULL;
	while (ok && at < count) {
		struct str name = all[at]->topic;
		ok = fetch_topic(
		    req, out->group_id, all, count, &at, &out->topics.at[out->topics.count]);
		/* what may not be seen is written over by the next */
		out->topics.count += access_topic(req, name) == ERR_OK;
	}
	mem_free(all);
	return ok;
}

/* From version 2 the group's error says it all; version 1 has only those of partitions. */
static bool deny_group(struct request *req, const struct offset_fetch_request_group *asked,
    enum err denied, struct offset_fetch_response_group *out)
{
	uint32_t count = req->version < 2 ? asked->topics.count : 0;
	out->error_code = err_kafka(denied);
	out->topics.at = request_new(req, &offset_fetch_response_group_topic_shape, count);
	for (uint32_t i = 0; out->topics.at && i < count; i++) {
		if (!fetch_asked(
		        req, asked->group_id, NULL, &asked->topics.at[i], &out->topics.at[i]))
			return false;
		for (uint32_t j = 0; j < out->topics.at[i].partitions.count; j++)
			out->topics.at[i].partitions.at[j].error_code = err_kafka(denied);
	}
	out->topics.count = count;
	return out->topics.at != NULL;
}

/* Members of a consumer group say who they are (version 9), so that a stale one does not go on from
 * offsets of its successor. */
static enum err check_fetcher(
    const struct group_entry *e, const struct offset_fetch_request_group *asked)
{
	const struct consumer_member *m;
	if (!e || !e->consumer || (!asked->member_id.ptr && asked->member_epoch < 0))
		return ERR_OK;
	TRY(consumer_validate(e->consumer, asked->member_id, asked->member_epoch, &m));
	return asked->member_epoch == m->epoch ? ERR_OK : consumer_stale(m);
}

static bool fetch_group(struct request *req, const struct offset_fetch_request_group *asked,
    struct offset_fetch_response_group *out)
{
	const struct group_entry *e = entry_find(req->broker->groups, asked->group_id);
	out->group_id = asked->group_id;
	enum err denied = access_group(req, asked->group_id);
	if (denied == ERR_OK)
		denied = check_fetcher(e, asked);
	if (denied != ERR_OK)
		return deny_group(req, asked, denied, out);
	if (!asked->topics.at)
		return fetch_all(req, e, out);
	out->topics.at =
	    request_new(req, &offset_fetch_response_group_topic_shape, asked->topics.count);
	if (!out->topics.at)
		return false;
	out->topics.count = asked->topics.count;
	for (uint32_t i = 0; i < asked->topics.count; i++) {
		if (!fetch_asked(req, asked->group_id, e, &asked->topics.at[i], &out->topics.at[i]))
			return false;
	}
	return true;
}

/* Before version 8 a request is for one group and has its own shapes. */
static bool widen_request(struct request *req, struct offset_fetch_request_group *ret_group)
{
	const struct offset_fetch_request *body = req->body;
	*ret_group = (struct offset_fetch_request_group){
	    .group_id = body->group_id, .member_epoch = -1}; /* it does not say who it is */
	if (!body->topics.at)
		return true;
	ret_group->topics.at =
	    request_alloc(req, body->topics.count * sizeof(*ret_group->topics.at));
	ret_group->topics.count = body->topics.count;
	for (uint32_t i = 0; ret_group->topics.at && i < body->topics.count; i++) {
		ret_group->topics.at[i].name = body->topics.at[i].name;
		ret_group->topics.at[i].partition_indexes.at =
		    body->topics.at[i].partition_indexes.at;
		ret_group->topics.at[i].partition_indexes.count =
		    body->topics.at[i].partition_indexes.count;
	}
	return ret_group->topics.at != NULL;
}

static bool narrow_topic(
    struct request *req, const fetched_topic *from, struct offset_fetch_response_topic *out)
{
	out->name = from->name;
	out->partitions.at =
	    request_new(req, &offset_fetch_response_partition_shape, from->partitions.count);
	if (!out->partitions.at)
		return false;
	out->partitions.count = from->partitions.count;
	for (uint32_t i = 0; i < from->partitions.count; i++) {
		const fetched_partition *p = &from->partitions.at[i];
		out->partitions.at[i] = (struct offset_fetch_response_partition){
		    .partition_index = p->partition_index,
		    .committed_offset = p->committed_offset,
		    .committed_leader_epoch = p->committed_leader_epoch,
		    .metadata = p->metadata,
		    .error_code = p->error_code,
		};
	}
	return true;
}

static bool fetch_one(struct request *req)
{
	struct offset_fetch_response *r = req->response;
	struct offset_fetch_request_group asked;
	struct offset_fetch_response_group found = {0};
	if (!widen_request(req, &asked) || !fetch_group(req, &asked, &found))
		return false;
	r->error_code = found.error_code;
	r->topics.at = request_new(req, &offset_fetch_response_topic_shape, found.topics.count);
	if (!r->topics.at)
		return false;
	r->topics.count = found.topics.count;
	for (uint32_t i = 0; i < found.topics.count; i++) {
		if (!narrow_topic(req, &found.topics.at[i], &r->topics.at[i]))
			return false;
	}
	return true;
}

static bool fetch_several(struct request *req)
{
	const struct offset_fetch_request *body = req->body;
	struct offset_fetch_response *r = req->response;
	r->groups.at = request_new(req, &offset_fetch_response_group_shape, body->groups.count);
	if (!r->groups.at)
		return false;
	r->groups.count = body->groups.count;
	for (uint32_t i = 0; i < body->groups.count; i++) {
		if (!fetch_group(req, &body->groups.at[i], &r->groups.at[i]))
			return false;
	}
	return true;
}

void handle_offset_fetch(struct request *req)
{
	if (req->version >= 8 ? fetch_several(req) : fetch_one(req))
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}

/* ---- OffsetDelete ---------------------------------------------------------------------------- */

struct offset_delete {
	struct drop drop;
	struct request *req;
	struct subscribed subscribed;
	struct map asked; /* struct offset: asked for and allowed */
};

static enum err check_delete(struct request *req, struct group_entry **ret_entry)
{
	const struct offset_delete_request *body = req->body;
	struct group_entry *e = entry_find(req->broker->groups, body->group_id);
	if (!e || entry_is_vacant(e))
		return ERR_GROUP_NOT_FOUND;
	bool consumers =
	    e->group.protocol_type && str_equal(str_of(e->group.protocol_type), STR("consumer"));
	if (e->group.state != GROUP_EMPTY && !consumers)
		return ERR_NON_EMPTY_GROUP;
	*ret_entry = e;
	return ERR_OK;
}

static bool fill_delete_topic(struct offset_delete *d, const struct group_entry *e,
    const struct offset_delete_request_topic *from, struct offset_delete_response_topic *out)
{
	enum err err = access_topic(d->req, from->name);
	if (err == ERR_OK && !log_topic_find(d->req->log, from->name))
		err = ERR_UNKNOWN_TOPIC;
	if (err == ERR_OK && subscribed_to(&d->subscribed, from->name))
		err = ERR_GROUP_SUBSCRIBED;
	out->name = from->name;
	out->partitions.at =
	    request_new(d->req, &offset_delete_response_partition_shape, from->partitions.count);
	if (!out->partitions.at)
		return false;
	for (uint32_t p = 0; p < from->partitions.count; p++) {
		int32_t index = from->partitions.at[p].partition_index;
		const struct offset *o = err == ERR_OK ? entry_offset(e, from->name, index) : NULL;
		out->partitions.at[p].partition_index = index;
		out->partitions.at[p].error_code = err_kafka(err);
		if (o && map_put(&d->asked, o->key, (void *)(uintptr_t)o) != ERR_OK)
			return false;
		if (err == ERR_OK)
			pending_cut_add(&d->drop.cut, from->name, index);
	}
	out->partitions.count = from->partitions.count;
	return true;
}

static bool fill_delete(struct offset_delete *d, const struct group_entry *e)
{
	const struct offset_delete_request *body = d->req->body;
	struct offset_delete_response *r = d->req->response;
	r->topics.at = request_new(d->req, &offset_delete_response_topic_shape, body->topics.count);
	if (!r->topics.at || subscribed_init(&d->subscribed, e) != ERR_OK)
		return false;
	for (uint32_t t = 0; t < body->topics.count; t++) {
		if (!fill_delete_topic(d, e, &body->topics.at[t], &r->topics.at[t]))
			return false;
		r->topics.count++;
	}
	return true;
}

static bool is_asked(void *ctx, const struct offset *o)
{
	return map_get(&((struct offset_delete *)ctx)->asked, o->key) != NULL;
}

static void on_deleted(struct drop *drop)
{
	struct offset_delete *d = CONTAINER_OF(drop, struct offset_delete, drop);
	struct offset_delete_response *r = d->req->response;
	r->error_code = err_kafka(groups_wire_error(drop->err));
	request_answer(d->req);
}

void handle_offset_delete(struct request *req)
{
	struct offset_delete_response *r = req->response;
	struct group_entry *e = NULL;
	struct offset_delete *d = request_alloc(req, sizeof(*d));
	enum err err = d ? check_delete(req, &e) : ERR_NOMEM;
	if (!d) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	if (err != ERR_OK) {
		r->error_code = err_kafka(err);
		request_answer(req);
		return;
	}
	struct drop_choice choice = {.pick = is_asked, .ctx = d};
	d->req = req;
	d->drop.done = on_deleted;
	map_init(&d->subscribed.names);
	map_init(&d->asked);
	pending_cut_init(&d->drop.cut, req->broker->transactions, e->group.name);
	bool filled = fill_delete(d, e);
	subscribed_release(&d->subscribed);
	if (!filled) {
		map_release(&d->asked);
		pending_cut_end(&d->drop.cut);
		request_fail(req, ERR_LIMIT);
		return;
	}
	struct map *asked = &d->asked;
	drop_start(&d->drop, e, &choice);
	map_release(asked);
}
