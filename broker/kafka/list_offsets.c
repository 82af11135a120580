/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ListOffsets: the ends of partitions, and the first record at or after a time. Special times by
 * version; those about tiered storage have no answer here, which Kafka writes as offset -1.
 */
#include "broker/kafka/handlers.h"
#include <stdlib.h>

enum special_time {
	TIME_LATEST = -1,
	TIME_EARLIEST = -2,
	TIME_MAX_TIMESTAMP = -3,          /* version 7 */
	TIME_EARLIEST_LOCAL = -4,         /* version 8 */
	TIME_LATEST_TIERED = -5,          /* version 9 */
	TIME_EARLIEST_PENDING_UPLOAD = -6 /* version 11 */
};

struct lookup {
	struct log_find_time find;
	struct list_offsets *owner;
	struct list_offsets_response_partition *out;
	bool asked;
	uint8_t twin; /* enum twin */
};
enum twin { TWIN_NONE, TWIN_FIRST, TWIN_FURTHER };
struct list_offsets {
	struct request *req;
	uint32_t pending;
	uint32_t count;
	struct lookup *lookup;
};

static void set_error(struct list_offsets_response_partition *out, enum err err)
{
	out->error_code = err_kafka(err);
	out->offset = out->timestamp = -1;
	out->leader_epoch = -1;
	err_clear();
}

static void on_found(struct log_find_time *find)
{
	struct lookup *l = CONTAINER_OF(find, struct lookup, find);
	struct log_partition_status s;
	const struct list_offsets_request *body = l->owner->req->body;
	log_partition_status(find->partition, &s);
	if (body->isolation_level == 1 && find->offset >= s.stable_end)
		find->offset = find->found_ms = -1; /* not to be seen yet */
	if (find->err != ERR_OK) {
		set_error(l->out, find->err);
	} else {
		l->out->offset = find->offset;
		l->out->timestamp = find->found_ms;
		if (find->offset < 0)
			l->out->leader_epoch = -1;
	}
	ASSERT(l->owner->pending > 0);
	if (--l->owner->pending == 0)
		request_answer(l->owner->req);
}

static int first_version(int64_t time)
{
	switch (time) {
	case TIME_MAX_TIMESTAMP:
		return 7;
	case TIME_EARLIEST_LOCAL:
		return 8;
	case TIME_LATEST_TIERED:
		return 9;
	case TIME_EARLIEST_PENDING_UPLOAD:
		return 11;
	default:
		return time < TIME_EARLIEST_PENDING_UPLOAD ? INT16_MAX : 0;
	}
}

static void find_time(struct lookup *l, struct log_partition *p, int64_t time)
{
	l->find.partition = p;
	l->find.timestamp_ms = time;
	l->find.latest = time == TIME_MAX_TIMESTAMP;
	l->find.done = on_found;
	l->asked = true;
}

static enum err look(
    struct lookup *l, const struct log_topic *t, const struct list_offsets_request_partition *in)
{
	const struct list_offsets_request *body = l->owner->req->body;
	struct log_partition_status s;
	struct log_partition *p = log_partition_find(l->owner->req->log, t, in->partition_index);
	if (!p)
		return ERR_UNKNOWN_TOPIC;
	log_partition_status(p, &s);
	if (in->current_leader_epoch >= 0 && (uint32_t)in->current_leader_epoch != s.leader_epoch)
		return (uint32_t)in->current_leader_epoch < s.leader_epoch
		           ? ERR_FENCED_LEADER_EPOCH
		           : ERR_UNKNOWN_LEADER_EPOCH;
	if (l->owner->req->version < first_version(in->timestamp))
		return ERR_UNSUPPORTED_VERSION;
	l->out->leader_epoch = (int32_t)s.leader_epoch;
	switch (in->timestamp) {
	case TIME_LATEST:
		l->out->offset = body->isolation_level == 1 ? s.stable_end : s.visible_end;
		break;
	case TIME_EARLIEST:
	case TIME_EARLIEST_LOCAL:
		l->out->offset = s.log_start;
		break;
	case TIME_LATEST_TIERED:
	case TIME_EARLIEST_PENDING_UPLOAD:
		l->out->leader_epoch = -1;
		break;
	case TIME_MAX_TIMESTAMP:
		if (s.max_timestamp_ms < 0)
			l->out->leader_epoch = -1;
		else
			find_time(l, p, in->timestamp);
		break;
	default:
		find_time(l, p, in->timestamp);
	}
	return ERR_OK;
}

static enum err request_error(const struct request *req)
{
	const struct list_offsets_request *body = req->body;
	if (body->replica_id >= 0)
		return ERR_PERMISSION;
	if (body->isolation_level != 0 && body->isolation_level != 1)
		return ERR_INVALID_REQUEST;
	return ERR_OK;
}

/* ---- partitions that are named twice --------------------------------------------------------- */

struct named {
	struct str topic;
	int32_t partition;
	uint32_t index;
};

static int by_place(const struct named *a, const struct named *b)
{
	int order = bytes_compare(str_bytes(a->topic), str_bytes(b->topic));
	return order != 0 ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

static int by_place_and_index(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = by_place(x, y);
	return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

/* As Kafka: such a partition is told once, as INVALID_REQUEST. False: no memory. */
static bool find_twins(struct list_offsets *lo)
{
	const struct list_offsets_request *body = lo->req->body;
	struct named *all = request_alloc(lo->req, lo->count * sizeof(*all));
	uint32_t n = 0;
	if (!all)
		return false;
	for (uint32_t t = 0; t < body->topics.count; t++) {
		const struct list_offsets_request_topic *in = &body->topics.at[t];
		for (uint32_t i = 0; i < in->partitions.count; i++, n++)
			all[n] = (struct named){in->name, in->partitions.at[i].partition_index, n};
	}
	if (n > 0)
		qsort(all, n, sizeof(*all), by_place_and_index);
	for (uint32_t i = 1; i < n; i++) {
		if (by_place(&all[i - 1], &all[i]) != 0)
			continue;
		lo->lookup[all[i].index].twin = TWIN_FURTHER;
		if (lo->lookup[all[i - 1].index].twin == TWIN_NONE)
			lo->lookup[all[i - 1].index].twin = TWIN_FIRST;
	}
	return true;
}

static bool look_topic(struct list_offsets *lo, const struct list_offsets_request_topic *in,
    struct list_offsets_response_topic *out, struct lookup *lookup)
{
	enum err err = ERR_OK, refused = request_error(lo->req);
	const struct log_topic *t = topic_named(lo->req, in->name, (struct log_uuid){{0}}, &err);
	out->name = in->name;
	out->partitions.at =
	    request_new(lo->req, &list_offsets_response_partition_shape, in->partitions.count);
	if (!out->partitions.at)
		return false;
	for (uint32_t i = 0; i < in->partitions.count; i++) {
		struct lookup *l = &lookup[i];
		if (l->twin == TWIN_FURTHER)
			continue;
		l->owner = lo;
		l->out = &out->partitions.at[out->partitions.count++];
		l->out->partition_index = in->partitions.at[i].partition_index;
		enum err e = refused != ERR_OK       ? refused
		             : l->twin == TWIN_FIRST ? ERR_INVALID_REQUEST
		             : t                     ? look(l, t, &in->partitions.at[i])
		                                     : err;
		if (e != ERR_OK)
			set_error(l->out, e);
	}
	return true;
}

/* The answers are all prepared; what needs the log's help is asked for now. */
static void start(struct list_offsets *lo)
{
	lo->pending = 1;
	for (uint32_t i = 0; i < lo->count; i++)
		lo->pending += lo->lookup[i].asked;
	for (uint32_t i = 0; i < lo->count; i++) {
		if (lo->lookup[i].asked)
			log_find_time(lo->req->log, &lo->lookup[i].find);
	}
	if (--lo->pending == 0)
		request_answer(lo->req);
}

void handle_list_offsets(struct request *req)
{
	const struct list_offsets_request *body = req->body;
	struct list_offsets_response *r = req->response;
	struct list_offsets *lo = request_alloc(req, sizeof(*lo));
	uint32_t at = 0;
	bool ok = lo != NULL;
	if (ok) {
		lo->req = req;
		for (uint32_t i = 0; i < body->topics.count; i++)
			lo->count += body->topics.at[i].partitions.count;
		lo->lookup = request_alloc(req, lo->count * sizeof(*lo->lookup));
	}
	r->topics.at = request_new(req, &list_offsets_response_topic_shape, body->topics.count);
	r->topics.count = body->topics.count;
	ok = ok && lo->lookup && r->topics.at && find_twins(lo);
	for (uint32_t i = 0; ok && i < body->topics.count; i++) {
		ok = look_topic(lo, &body->topics.at[i], &r->topics.at[i], lo->lookup + at);
		at += body->topics.at[i].partitions.count;
	}
	if (ok)
		start(lo);
	else
		request_fail(req, ERR_LIMIT);
}
