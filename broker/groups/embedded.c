/* SPDX-License-Identifier: Apache-2.0 */
#include "embedded.h"
#include "owned.h"
#include "broker/kafka/codec.h"

enum { NEWEST = 3 };

/* The same topic with partitions in both messages. */
typedef struct consumer_protocol_subscription_owned named_parts;
_Static_assert(sizeof(named_parts) == sizeof(struct consumer_protocol_assignment_assigned),
    "owned and assigned are alike");

static enum err read_version(struct reader *r, int16_t *ret_version)
{
	int16_t version = read_i16_be(r);
	if (r->bad || version < 0)
		return err_note(ERR_INCONSISTENT_GROUP_PROTOCOL, "version %d", version);
	*ret_version = version < NEWEST ? version : NEWEST;
	return ERR_OK;
}

/* Bytes behind the message are a newer version's. */
static enum err read_message(
    const struct msg_shape *shape, struct bytes from, struct arena *arena, void *ret_message)
{
	struct reader r = reader_of(from);
	int16_t version = 0;
	TRY(read_version(&r, &version));
	struct msg_form form = {.shape = shape, .version = version};
	enum err e = msg_decode(form, &r, arena, ret_message);
	if (e == ERR_NOMEM || e == ERR_LIMIT)
		return e;
	return e == ERR_OK ? ERR_OK
	                   : err_note(ERR_INCONSISTENT_GROUP_PROTOCOL, "malformed %s of %zu bytes",
	                         shape->name, from.len);
}

static enum err find_topics(
    const named_parts *from, uint32_t count, const struct log *log, struct owned_topic **ret_topics)
{
	size_t total = 0;
	for (uint32_t t = 0; t < count; t++)
		total += from[t].partitions.count;
	TRY(owned_check(log, count, total));
	struct owned_topic *topics = mem_alloc((count + 1) * sizeof(*topics));
	if (!topics)
		return ERR_NOMEM;
	for (uint32_t t = 0; t < count; t++)
		topics[t] = (struct owned_topic){log_topic_find(log, from[t].topic),
		    from[t].partitions.at, from[t].partitions.count};
	*ret_topics = topics;
	return ERR_OK;
}

static enum err to_parts(const named_parts *from, uint32_t count, const struct log *log,
    struct arena *arena, struct consumer_parts *ret_parts)
{
	struct owned_topic *topics = NULL;
	enum err e = find_topics(from, count, log, &topics);
	if (e == ERR_OK)
		e = owned_parts(log, topics, count, arena, ret_parts);
	mem_free(topics);
	return e == ERR_INVALID_REQUEST ? err_note(ERR_INCONSISTENT_GROUP_PROTOCOL, "in a message")
	                                : e;
}

enum err embedded_subscription_read(struct bytes from, const struct log *log, struct arena *arena,
    struct embedded_subscription *ret_subscription)
{
	struct consumer_protocol_subscription v;
	msg_init(&consumer_protocol_subscription_shape, &v);
	TRY(read_message(&consumer_protocol_subscription_shape, from, arena, &v));
	*ret_subscription = (struct embedded_subscription){
	    .names = v.topics.at, .name_count = v.topics.count, .rack_id = v.rack_id};
	return to_parts(
	    v.owned_partitions.at, v.owned_partitions.count, log, arena, &ret_subscription->owned);
}

enum err embedded_assignment_read(struct bytes from, const struct log *log, struct arena *arena,
    struct consumer_parts *ret_parts, bool *ret_user_data)
{
	struct consumer_protocol_assignment v;
	TRY(read_message(&consumer_protocol_assignment_shape, from, arena, &v));
	*ret_user_data = v.user_data.len > 0;
	return to_parts((const named_parts *)(const void *)v.assigned_partitions.at,
	    v.assigned_partitions.count, log, arena, ret_parts);
}

/* ---- writing --------------------------------------------------------------------------------- */

struct named {
	struct consumer_protocol_assignment_assigned *topics;
	uint32_t count;
	int32_t *numbers;
};

static enum err to_names(
    const struct consumer_parts *parts, const struct log *log, struct named *ret_named)
{
	struct named n = {0};
	const struct log_topic *topic = NULL;
	n.topics = mem_calloc(parts->count + 1, sizeof(*n.topics));
	n.numbers = mem_calloc(parts->count + 1, sizeof(*n.numbers));
	*ret_named = n;
	if (!n.topics || !n.numbers)
		return ERR_NOMEM;
	for (size_t i = 0; i < parts->count; i++) {
		bool next = i == 0 || !log_uuid_equal(parts->at[i].topic, parts->at[i - 1].topic);
		n.numbers[i] = parts->at[i].partition;
		if (next)
			topic = log_topic_by_id(log, parts->at[i].topic);
		if (next && topic)
			n.topics[n.count++] = (struct consumer_protocol_assignment_assigned){
			    .topic = topic->name, .partitions = {&n.numbers[i], 0}};
		if (topic)
			n.topics[n.count - 1].partitions.count++;
	}
	ret_named->count = n.count;
	return ERR_OK;
}

static enum err encode(const struct named *n, int16_t version, struct bytes *ret_assignment)
{
	struct consumer_protocol_assignment v = {.assigned_partitions = {n->topics, n->count}};
	struct msg_form form = {.shape = &consumer_protocol_assignment_shape, .version = version};
	struct msg_out out;
	size_t len = 0;
	msg_out_init(&out, GROUP_BYTES_MAX);
	out.copy = true;
	write_u16_be(&out.w, (uint16_t)version);
	enum err e = msg_encode(form, &v, &out);
	if (e == ERR_OK)
		e = out.w.err;
	if (e == ERR_OK) {
		uint8_t *bytes = writer_take(&out.w, &len);
		*ret_assignment = bytes_of(bytes, len);
	}
	msg_out_release(&out);
	return e;
}

enum err embedded_assignment_write(const struct consumer_parts *parts, const struct log *log,
    struct bytes subscription, struct bytes *ret_assignment)
{
	struct named n;
	struct reader r = reader_of(subscription);
	int16_t version = 0;
	TRY(read_version(&r, &version));
	enum err e = to_names(parts, log, &n);
	if (e == ERR_OK)
		e = encode(&n, version, ret_assignment);
	mem_free(n.topics);
	mem_free(n.numbers);
	return e;
}
