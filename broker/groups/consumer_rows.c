/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer group as rows of __consumer_offsets, in Kafka's formats:
 *   key 3 (group)          epoch of the group, hash of its topics
 *   key 5 (group, member)  who it is and what it wants
 *   key 6 (group)          epoch of the target
 *   key 7 (group, member)  its target
 *   key 8 (group, member)  its epoch, what it holds and what it is to revoke
 * Kafka's rows 4 (topics of the group, before 4.1) and 16 (topics of a pattern) are not written:
 * both are looked up in the catalog.
 */
#include "consumer_rows.h"
#include <stdlib.h>

enum { VALUE_VERSION = 0 };

/* ---- writing --------------------------------------------------------------------------------- */

/* Every key of a member has the same body. */
struct member_key {
	struct str group, member;
};
_Static_assert(
    sizeof(struct member_key) == sizeof(struct consumer_group_member_metadata_key) &&
        sizeof(struct member_key) == sizeof(struct consumer_group_current_member_assignment_key) &&
        sizeof(struct member_key) == sizeof(struct consumer_group_target_assignment_member_key),
    "keys of members");

static struct row_half key_half(const struct msg_shape *shape, const void *key, int version)
{
	return (struct row_half){.shape = shape, .message = key, .version = version};
}

static struct row_half value_half(const struct msg_shape *shape, const void *value)
{
	return (struct row_half){
	    .shape = shape, .message = value, .version = VALUE_VERSION, .flexible = true};
}

static void add_group_row(struct row_list *list, struct str group, enum consumer_row row,
    const struct msg_shape *shape, const void *value)
{
	struct consumer_group_metadata_key key = {.group = group};
	const struct msg_shape *key_shape =
	    row == CONSUMER_ROW_GROUP ? &consumer_group_metadata_key_shape
	                              : &consumer_group_target_assignment_metadata_key_shape;
	row_list_add(list, key_half(key_shape, &key, row), value_half(shape, value));
}

static void add_member_row(struct row_list *list, const struct member_key *key,
    enum consumer_row row, const struct msg_shape *shape, const void *value)
{
	const struct msg_shape *key_shape =
	    row == CONSUMER_ROW_MEMBER    ? &consumer_group_member_metadata_key_shape
	    : row == CONSUMER_ROW_CURRENT ? &consumer_group_current_member_assignment_key_shape
	                                  : &consumer_group_target_assignment_member_key_shape;
	row_list_add(list, key_half(key_shape, key, row), value_half(shape, value));
}

typedef struct consumer_group_member_metadata_value_classic classic_value;
typedef struct consumer_group_member_metadata_value_protocol protocol_value;

static enum err classic_of(const struct consumer_member *m, classic_value *ret_value)
{
	const struct consumer_classic *classic = m->classic;
	protocol_value *protocols = mem_calloc(classic->protocol_count + 1, sizeof(*protocols));
	if (!protocols)
		return ERR_NOMEM;
	for (size_t i = 0; i < classic->protocol_count; i++)
		protocols[i] = (protocol_value){
		    .name = classic->protocols[i].name, .metadata = classic->protocols[i].metadata};
	*ret_value = (classic_value){
	    .session_timeout_ms = classic->session_timeout_ms,
	    .supported_protocols = {protocols, (uint32_t)classic->protocol_count},
	};
	return ERR_OK;
}

static enum err add_metadata(
    struct row_list *list, const struct member_key *key, const struct consumer_member *m)
{
	const struct consumer_subscription *s = m->subscription;
	classic_value classic = {0};
	if (m->classic)
		TRY(classic_of(m, &classic));
	struct consumer_group_member_metadata_value value = {
	    .instance_id = str_of(m->instance_id),
	    .rack_id = str_of(m->rack_id),
	    .client_id = m->client_id ? str_of(m->client_id) : STR(""),
	    .client_host = m->client_host ? str_of(m->client_host) : STR(""),
	    .subscribed_topic_names = {s->names, (uint32_t)s->name_count},
	    .subscribed_topic_regex = s->pattern,
	    .topic_viewer = s->viewer.len ? s->viewer : (struct str){NULL, 0},
	    .rebalance_timeout_ms = m->rebalance_timeout_ms,
	    .server_assignor = str_of(m->assignor),
	    .classic_member_metadata = m->classic ? &classic : NULL,
	};
	add_member_row(
	    list, key, CONSUMER_ROW_MEMBER, &consumer_group_member_metadata_value_shape, &value);
	mem_free(classic.supported_protocols.at);
	return ERR_OK;
}

/* A set as topics with their partitions: the topics, and in `numbers` twice as many as the set has,
 * partitions and then epochs. */
struct grouped {
	struct consumer_group_current_member_assignment_value_assigned *topics;
	int32_t *numbers;
	uint32_t count;
};
_Static_assert(sizeof(struct consumer_group_current_member_assignment_value_assigned) ==
                   sizeof(struct consumer_group_current_member_assignment_value_revoking),
    "assigned and revoking are alike");

static enum err group_parts(const struct consumer_parts *set, struct grouped *ret_grouped)
{
	struct grouped g = {0};
	g.topics = mem_calloc(set->count + 1, sizeof(*g.topics));
	g.numbers = mem_calloc(2 * set->count + 1, sizeof(*g.numbers));
	if (!g.topics || !g.numbers) {
		mem_free(g.topics);
		mem_free(g.numbers);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < set->count; i++) {
		if (i == 0 || !log_uuid_equal(set->at[i].topic, set->at[i - 1].topic)) {
			g.topics[g.count].topic_id = set->at[i].topic;
			g.topics[g.count].partitions.at = &g.numbers[i];
			g.topics[g.count++].assignment_epochs.at = &g.numbers[set->count + i];
		}
		g.numbers[i] = set->at[i].partition;
		g.numbers[set->count + i] = set->at[i].epoch;
		g.topics[g.count - 1].partitions.count++;
		g.topics[g.count - 1].assignment_epochs.count++;
	}
	*ret_grouped = g;
	return ERR_OK;
}

static void grouped_release(struct grouped *g)
{
	mem_free(g->topics);
	mem_free(g->numbers);
}

static enum err add_target(
    struct row_list *list, const struct member_key *key, const struct consumer_member *m)
{
	struct grouped g;
	TRY(group_parts(&m->target, &g));
	struct consumer_group_target_assignment_member_value_topic *topics =
	    mem_calloc(g.count + 1, sizeof(*topics));
	if (topics) {
		for (uint32_t i = 0; i < g.count; i++) {
			topics[i].topic_id = g.topics[i].topic_id;
			topics[i].partitions.at = g.topics[i].partitions.at;
			topics[i].partitions.count = g.topics[i].partitions.count;
		}
		struct consumer_group_target_assignment_member_value value = {
		    .topic_partitions = {topics, g.count}};
		add_member_row(list, key, CONSUMER_ROW_TARGET,
		    &consumer_group_target_assignment_member_value_shape, &value);
	}
	grouped_release(&g);
	mem_free(topics);
	return topics ? ERR_OK : ERR_NOMEM;
}

static enum err add_current(
    struct row_list *list, const struct member_key *key, const struct consumer_member *m)
{
	struct grouped assigned, revoking;
	TRY(group_parts(&m->assigned, &assigned));
	enum err e = group_parts(&m->revoking, &revoking);
	if (e != ERR_OK) {
		grouped_release(&assigned);
		return e;
	}
	struct consumer_group_current_member_assignment_value value = {
	    .member_epoch = m->epoch,
	    .previous_member_epoch = m->previous_epoch,
	    .state = (int8_t)m->state,
	    .assigned_partitions = {assigned.topics, assigned.count},
	    .partitions_pending_revocation = {(void *)revoking.topics, revoking.count},
	};
	add_member_row(list, key, CONSUMER_ROW_CURRENT,
	    &consumer_group_current_member_assignment_value_shape, &value);
	grouped_release(&assigned);
	grouped_release(&revoking);
	return ERR_OK;
}

static enum err add_member(struct row_list *list, struct str group, struct consumer_member *m)
{
	struct member_key key = {group, str_of(m->id)};
	if (m->metadata_dirty)
		TRY(add_metadata(list, &key, m));
	if (m->target_dirty)
		TRY(add_target(list, &key, m));
	if (m->current_dirty)
		TRY(add_current(list, &key, m));
	return ERR_OK;
}

enum err consumer_rows(struct row_list *list, struct str group, const struct consumer_group *c)
{
	if (c->epoch_dirty) {
		struct consumer_group_metadata_value value = {
		    .epoch = c->epoch, .metadata_hash = c->topics_hash};
		add_group_row(
		    list, group, CONSUMER_ROW_GROUP, &consumer_group_metadata_value_shape, &value);
	}
	LIST_EACH (&c->members, node, tmp)
		TRY(add_member(list, group, CONTAINER_OF(node, struct consumer_member, node)));
	if (c->target_epoch_dirty) {
		struct consumer_group_target_assignment_metadata_value value = {
		    .assignment_epoch = c->target_epoch};
		add_group_row(list, group, CONSUMER_ROW_TARGET_EPOCH,
		    &consumer_group_target_assignment_metadata_value_shape, &value);
	}
	return ERR_OK;
}

void consumer_rows_clean(struct consumer_group *c)
{
	c->epoch_dirty = c->target_epoch_dirty = c->removed = c->dirty = false;
	LIST_EACH (&c->members, node, tmp) {
		struct consumer_member *m = CONTAINER_OF(node, struct consumer_member, node);
		m->metadata_dirty = m->target_dirty = m->current_dirty = false;
	}
}

/* ---- reading --------------------------------------------------------------------------------- */

enum err consumer_row_key(
    struct bytes key, enum consumer_row *ret_row, struct str *ret_group, struct str *ret_member)
{
	struct reader r = reader_of(key);
	int16_t row = read_i16_be(&r);
	struct member_key k = {{NULL, 0}, {NULL, 0}};
	uint16_t len = read_u16_be(&r);
	k.group = bytes_str(read_bytes(&r, len));
	bool of_member =
	    row == CONSUMER_ROW_MEMBER || row == CONSUMER_ROW_TARGET || row == CONSUMER_ROW_CURRENT;
	if (of_member) {
		len = read_u16_be(&r);
		k.member = bytes_str(read_bytes(&r, len));
	}
	if (r.bad || reader_left(&r) > 0 || (of_member && k.member.len == 0))
		return err_note(ERR_CORRUPT, "key of version %d, %zu bytes", row, key.len);
	*ret_row = (enum consumer_row)row;
	*ret_group = k.group;
	*ret_member = k.member;
	return ERR_OK;
}

static enum err value_read(
    const struct msg_shape *shape, struct bytes value, struct arena *arena, void *ret_value)
{
	struct reader r = reader_of(value);
	int16_t version = read_i16_be(&r);
	if (r.bad || version != VALUE_VERSION)
		return err_note(ERR_CORRUPT, "%s version %d", shape->name, version);
	struct msg_form form = {.shape = shape, .version = version, .flexible = true};
	enum err e = msg_decode(form, &r, arena, ret_value);
	if (e == ERR_NOMEM || e == ERR_LIMIT)
		return e;
	return e == ERR_OK && reader_left(&r) == 0
	           ? ERR_OK
	           : err_note(ERR_CORRUPT, "%s, %zu bytes", shape->name, value.len);
}

static enum err read_group(struct consumer_group *c, struct bytes value, struct arena *arena)
{
	struct consumer_group_metadata_value v;
	TRY(value_read(&consumer_group_metadata_value_shape, value, arena, &v));
	c->epoch = v.epoch;
	c->topics_hash = v.metadata_hash;
	return ERR_OK;
}

static enum err read_target_epoch(struct consumer_group *c, struct bytes value, struct arena *arena)
{
	struct consumer_group_target_assignment_metadata_value v;
	TRY(value_read(&consumer_group_target_assignment_metadata_value_shape, value, arena, &v));
	c->target_epoch = v.assignment_epoch;
	return ERR_OK;
}

static enum err read_classic(
    const classic_value *value, struct arena *arena, struct consumer_speech *ret_speech)
{
	uint32_t count = value->supported_protocols.count;
	struct group_protocol *protocols = arena_alloc(arena, (count + 1) * sizeof(*protocols));
	if (!protocols)
		return ERR_NOMEM;
	if (count == 0)
		return err_note(ERR_CORRUPT, "a member of the classic protocol without one");
	for (uint32_t i = 0; i < count; i++)
		protocols[i] = (struct group_protocol){value->supported_protocols.at[i].name,
		    value->supported_protocols.at[i].metadata};
	*ret_speech = (struct consumer_speech){value->session_timeout_ms, protocols, (size_t)count};
	return ERR_OK;
}

static enum err read_member(
    struct consumer_group *c, struct str id, struct bytes value, struct arena *arena)
{
	struct consumer_group_member_metadata_value v;
	struct consumer_speech speech;
	struct consumer_member *ignored;
	TRY(value_read(&consumer_group_member_metadata_value_shape, value, arena, &v));
	if (v.classic_member_metadata)
		TRY(read_classic(v.classic_member_metadata, arena, &speech));
	struct consumer_restore from = {
	    .id = id,
	    .instance_id = v.instance_id,
	    .rack_id = v.rack_id,
	    .client_id = v.client_id,
	    .client_host = v.client_host,
	    .assignor = v.server_assignor,
	    .pattern = v.subscribed_topic_regex,
	    .viewer = v.topic_viewer,
	    .names = v.subscribed_topic_names.at,
	    .name_count = v.subscribed_topic_names.count,
	    .rebalance_timeout_ms = v.rebalance_timeout_ms,
	    .classic = v.classic_member_metadata ? &speech : NULL,
	};
	enum err e = consumer_restore_member(c, &from, &ignored);
	if (e != ERR_INVALID_REGEX)
		return e;
	diag(DIAG_WARN, "group_member_ignored", "reason=\"its pattern is not understood\"");
	return ERR_OK; /* it joins again, or not */
}

/* Adds one topic's partitions behind what is there; their order is checked. */
static enum err read_parts(struct consumer_parts *set, struct log_uuid topic,
    const int32_t *partitions, uint32_t count, const int32_t *epochs)
{
	struct consumer_part *grown =
	    mem_realloc(set->at, (set->count + count + 1) * sizeof(*set->at));
	if (!grown)
		return ERR_NOMEM;
	set->at = grown;
	for (uint32_t i = 0; i < count; i++)
		set->at[set->count++] = (struct consumer_part){
		    .topic = topic, .partition = partitions[i], .epoch = epochs ? epochs[i] : 0};
	return ERR_OK;
}

static int part_order(const void *a, const void *b)
{
	return consumer_part_order(a, b);
}

/* Kafka writes its sets in any order. */
static enum err sort_parts(struct consumer_parts *set)
{
	if (set->count)
		qsort(set->at, set->count, sizeof(*set->at), part_order);
	for (size_t i = 1; i < set->count; i++) {
		if (consumer_part_order(&set->at[i - 1], &set->at[i]) == 0)
			return err_note(ERR_CORRUPT, "partition %d twice", set->at[i].partition);
	}
	return ERR_OK;
}

static enum err read_target(struct consumer_member *m, struct bytes value, struct arena *arena)
{
	struct consumer_group_target_assignment_member_value v;
	TRY(value_read(&consumer_group_target_assignment_member_value_shape, value, arena, &v));
	for (uint32_t i = 0; i < v.topic_partitions.count; i++)
		TRY(read_parts(&m->target, v.topic_partitions.at[i].topic_id,
		    v.topic_partitions.at[i].partitions.at,
		    v.topic_partitions.at[i].partitions.count, NULL));
	return sort_parts(&m->target);
}

static enum err read_current(struct consumer_member *m, struct bytes value, struct arena *arena)
{
	struct consumer_group_current_member_assignment_value v;
	TRY(value_read(&consumer_group_current_member_assignment_value_shape, value, arena, &v));
	if (v.state < CONSUMER_STABLE || v.state > CONSUMER_UNRELEASED)
		return err_note(ERR_CORRUPT, "state %d of member %s", v.state, m->id);
	m->epoch = v.member_epoch;
	m->previous_epoch = v.previous_member_epoch;
	m->state = (enum consumer_state)v.state;
	for (uint32_t i = 0; i < v.assigned_partitions.count; i++) {
		const struct consumer_group_current_member_assignment_value_assigned *t =
		    &v.assigned_partitions.at[i];
		bool with_epochs = t->assignment_epochs.count == t->partitions.count;
		TRY(read_parts(&m->assigned, t->topic_id, t->partitions.at, t->partitions.count,
		    with_epochs ? t->assignment_epochs.at : NULL));
	}
	for (uint32_t i = 0; i < v.partitions_pending_revocation.count; i++) {
		const struct consumer_group_current_member_assignment_value_revoking *t =
		    &v.partitions_pending_revocation.at[i];
		bool with_epochs = t->assignment_epochs.count == t->partitions.count;
		TRY(read_parts(&m->revoking, t->topic_id, t->partitions.at, t->partitions.count,
		    with_epochs ? t->assignment_epochs.at : NULL));
	}
	TRY(sort_parts(&m->assigned));
	return sort_parts(&m->revoking);
}

enum err consumer_row_read(
    struct consumer_group *c, enum consumer_row row, struct str member, struct bytes value)
{
	struct arena arena;
	enum err e;
	struct consumer_member *m = member.ptr ? consumer_find(c, member) : NULL;
	arena_init(&arena, msg_arena_limit(value.len));
	if (row == CONSUMER_ROW_GROUP)
		e = read_group(c, value, &arena);
	else if (row == CONSUMER_ROW_TARGET_EPOCH)
		e = read_target_epoch(c, value, &arena);
	else if (row == CONSUMER_ROW_MEMBER)
		e = read_member(c, member, value, &arena);
	else if (!m)
		e = ERR_OK; /* Kafka leaves a target behind a member that has gone */
	else
		e = row == CONSUMER_ROW_TARGET ? read_target(m, value, &arena)
		                               : read_current(m, value, &arena);
	arena_release(&arena);
	return e;
}
