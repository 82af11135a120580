/* SPDX-License-Identifier: Apache-2.0 */
/* The partitions of a Fetch: which they are, and how each stands. */
#include "broker/kafka/fetch.h"
#include "log/batch.h"

/* ---- which ----------------------------------------------------------------------------------- */

static void part_init(struct fetch *f, struct fetch_part *part, int32_t partition)
{
	part->owner = f;
	msg_init(&fetch_response_partition_shape, &part->out);
	part->out.partition_index = partition;
	log_waiter_init(&part->waiter, fetch_data_came);
	list_node_init(&part->node);
	list_push_back(&f->parts, &part->node);
	f->count++;
}

static void part_of_session(
    struct fetch *f, struct fetch_part *part, struct fetch_session_part *known)
{
	part_init(f, part, (int32_t)known->key.partition);
	part->topic = known->topic->name;
	part->topic_id = known->topic->id;
	part->current_leader_epoch = known->current_leader_epoch;
	part->max_bytes = known->max_bytes;
	part->fetch_offset = known->fetch_offset;
	part->known = known;
}

static void parts_of_request(struct fetch *f, struct fetch_part *part)
{
	const struct fetch_request *body = f->req->body;
	for (uint32_t i = 0; i < body->topics.count; i++) {
		const struct fetch_request_topic *topic = &body->topics.at[i];
		for (uint32_t k = 0; k < topic->partitions.count; k++, part++) {
			const struct fetch_request_partition *in = &topic->partitions.at[k];
			part_init(f, part, in->partition);
			part->topic = topic->topic;
			part->topic_id = topic->topic_id;
			part->current_leader_epoch = in->current_leader_epoch;
			part->max_bytes = in->partition_max_bytes;
			part->fetch_offset = in->fetch_offset;
		}
	}
}

size_t fetch_parts_bytes(const struct fetch *f)
{
	const struct fetch_request *body = f->req->body;
	size_t count = 0;
	if (f->session) {
		LIST_EACH (&f->session->parts, n, next)
			count++;
	}
	for (uint32_t i = 0; !f->session && i < body->topics.count; i++)
		count += body->topics.at[i].partitions.count;
	return count * sizeof(struct fetch_part);
}

bool fetch_parts_make(struct fetch *f)
{
	struct fetch_part *part = request_alloc(f->req, fetch_parts_bytes(f));
	if (!part)
		return false;
	f->made = true;
	if (!f->session) {
		parts_of_request(f, part);
		return true;
	}
	LIST_EACH (&f->session->parts, n, next)
		part_of_session(f, part++, CONTAINER_OF(n, struct fetch_session_part, node));
	return true;
}

struct fetch_part *fetch_part_add(struct fetch *f, struct fetch_session_part *known)
{
	struct fetch_part *part = request_alloc(f->req, sizeof(*part));
	if (part)
		part_of_session(f, part, known);
	return part;
}

/* ---- how they stand -------------------------------------------------------------------------- */

void fetch_part_forget(struct fetch_part *part)
{
	static const struct bytes none[1];
	if (part->has_read)
		log_read_release(part->read);
	part->has_read = false;
	part->out.records = (struct msg_slices){none, 0};
	part->out.aborted_transactions.at = NULL;
	part->out.aborted_transactions.count = 0;
}

struct log_partition *fetch_part_find(const struct fetch_part *part, enum err *ret_err)
{
	const struct request *req = part->owner->req;
	const struct log_topic *t = topic_named(req, part->topic, part->topic_id, ret_err);
	if (!t)
		return NULL;
	struct log_partition *p = log_partition_find(req->log, t, part->out.partition_index);
	if (!p)
		*ret_err = ERR_UNKNOWN_TOPIC;
	if (p && req->version < 10 && t->config.compression == BATCH_ZSTD) {
		*ret_err =
		    ERR_UNSUPPORTED_COMPRESSION; /* KIP-110; by the topic's setting, as Kafka */
		return NULL;
	}
	return p;
}

void fetch_part_fail(struct fetch_part *part, enum err err)
{
	part->out.error_code = err_kafka(err);
	part->out.high_watermark = -1;
	part->owner->error = true;
	err_clear();
}

static enum err check_epoch(const struct fetch_part *part, const struct log_partition_status *s)
{
	int32_t epoch = part->current_leader_epoch;
	if (epoch < 0 || (uint32_t)epoch == s->leader_epoch)
		return ERR_OK;
	return (uint32_t)epoch < s->leader_epoch ? ERR_FENCED_LEADER_EPOCH
	                                         : ERR_UNKNOWN_LEADER_EPOCH;
}

bool fetch_part_look(struct fetch_part *part, struct log_partition **ret_partition)
{
	const struct fetch_request *body = part->owner->req->body;
	struct log_partition_status s;
	enum err err = ERR_OK;
	int64_t offset = part->fetch_offset;
	struct log_partition *p = fetch_part_find(part, &err);
	if (p) {
		log_partition_status(p, &s);
		err = check_epoch(part, &s);
		if (err == ERR_OK && (offset < s.log_start || offset > s.log_end))
			err = ERR_OFFSET_OUT_OF_RANGE;
	}
	if (err != ERR_OK) {
		fetch_part_fail(part, err);
		return false;
	}
	bool committed = body->isolation_level == 1;
	static struct fetch_response_aborted none[1];
	part->seen_end = committed ? s.stable_end : s.visible_end;
	part->seen_bytes = log_readable_bytes(p, committed);
	part->waiter.committed = committed;
	/* null is for those who read everything */
	part->out.aborted_transactions.at = committed ? none : NULL;
	part->out.aborted_transactions.count = 0;
	part->out.high_watermark = s.visible_end;
	part->out.last_stable_offset = s.stable_end;
	part->out.log_start_offset = s.log_start;
	*ret_partition = p;
	return offset < part->seen_end;
}

void fetch_part_rest(struct fetch_part *part)
{
	const struct fetch_response_partition *out = &part->out;
	const struct fetch *f = part->owner;
	struct log_partition_status s;
	enum err err;
	/* older clients meet an error that comes with a topic's setting */
	bool done = part->known && out->error_code == 0 && out->records.count == 0 &&
	            part->fetch_offset >= part->seen_end && f->req->version >= 10;
	struct log_partition *p = done ? fetch_part_find(part, &err) : NULL;
	if (!done)
		return;
	if (!p) { /* the next fetch tells why */
		err_clear();
		return;
	}
	log_partition_status(p, &s);
	if (s.visible_end == out->high_watermark && s.stable_end == out->last_stable_offset &&
	    s.log_start == out->log_start_offset)
		fetch_session_rest(part->known, p, part->seen_bytes);
}
