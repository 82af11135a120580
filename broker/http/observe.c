/* SPDX-License-Identifier: Apache-2.0 */
#include "observe.h"
#include <stdlib.h>

/* ---- topics ---------------------------------------------------------------------------------- */

struct topic_walk {
	struct broker *b;
	struct arena *arena;
	struct str only;
	struct seen_topic *first, *last;
	size_t cursor;
	int32_t next_partition; /* of `last` */
	bool done;
	enum err err;
};

/* Copies a topic's head and makes room for its partitions. */
static bool topic_begin(struct topic_walk *w, const struct log_topic *t)
{
	struct seen_topic *s = arena_calloc(w->arena, 1, sizeof(*s));
	struct log_partition_status *parts =
	    s ? arena_calloc(w->arena, (size_t)t->partition_count, sizeof(*parts)) : NULL;
	struct str name = parts ? arena_copy_str(w->arena, t->name) : (struct str){NULL, 0};
	if (!name.ptr) {
		w->err = ERR_NOMEM;
		return false;
	}
	*s = (struct seen_topic){
	    .name = name,
	    .id = t->id,
	    .internal = t->internal,
	    .durability = t->config.durability,
	    .partition_count = t->partition_count,
	    .parts = parts,
	};
	if (w->last)
		w->last->next = s;
	else
		w->first = s;
	w->last = s;
	w->next_partition = 0;
	return true;
}

/* Partitions of the current topic; a topic that went meanwhile keeps what it had. */
static int topic_parts(struct topic_walk *w, int budget)
{
	struct seen_topic *s = w->last;
	const struct log_topic *t = log_topic_find(w->b->log, s->name);
	int taken = 0;
	while (w->next_partition < s->partition_count && taken < budget) {
		int32_t i = w->next_partition++;
		struct log_partition *p = t ? log_partition_find(w->b->log, t, i) : NULL;
		if (p)
			log_partition_status(p, &s->parts[i]);
		taken++;
	}
	return taken;
}

static const struct log_topic *next_topic(struct topic_walk *w)
{
	if (!w->only.ptr)
		return log_topic_next(w->b->log, &w->cursor);
	return w->first ? NULL : log_topic_find(w->b->log, w->only);
}

static void topic_slice(void *arg)
{
	struct topic_walk *w = arg;
	int budget = OBSERVE_SLICE;
	while (budget > 0 && w->err == ERR_OK) {
		if (w->last && w->next_partition < w->last->partition_count) {
			budget -= topic_parts(w, budget);
			continue;
		}
		const struct log_topic *t = next_topic(w);
		if (!t) {
			w->done = true;
			return;
		}
		budget--;
		topic_begin(w, t);
	}
}

enum err observe_topics(
    struct broker *b, struct str only, struct arena *arena, struct seen_topic **ret_topics)
{
	struct topic_walk w = {.b = b, .arena = arena, .only = only};
	while (!w.done && w.err == ERR_OK)
		loop_call(b->loop, topic_slice, &w);
	TRY(w.err);
	if (only.ptr && !w.first)
		return err_note(ERR_UNKNOWN_TOPIC, "topic " STR_FMT, STR_ARG(only));
	*ret_topics = w.first;
	return ERR_OK;
}

/* ---- groups ---------------------------------------------------------------------------------- */

struct group_walk {
	struct broker *b;
	struct arena *arena;
	struct str *names;
	size_t name_count, next;
	struct seen_group *first, *last;
	enum err err;
};

static void group_names(void *arg)
{
	struct group_walk *w = arg;
	const struct groups *g = w->b->groups;
	w->names = arena_calloc(w->arena, g->entry_count + 1, sizeof(*w->names));
	if (!w->names) {
		w->err = ERR_NOMEM;
		return;
	}
	LIST_EACH (&g->entries, node, tmp) {
		const struct group_entry *e = CONTAINER_OF(node, struct group_entry, node);
		if (entry_is_vacant(e))
			continue;
		w->names[w->name_count] = arena_copy_str(w->arena, e->group.name);
		if (!w->names[w->name_count++].ptr)
			w->err = ERR_NOMEM;
	}
}

static int by_name(const void *a, const void *b)
{
	return bytes_compare(str_bytes(*(const struct str *)a), str_bytes(*(const struct str *)b));
}

static bool copy_cstr(struct arena *arena, const char *from, struct str *ret_copy)
{
	*ret_copy = (struct str){NULL, 0};
	if (!from)
		return true;
	*ret_copy = arena_copy_str(arena, str_of(from));
	return ret_copy->ptr != NULL;
}

static bool copy_members(struct arena *arena, const struct group *g, struct seen_group *s)
{
	s->members = arena_calloc(arena, g->member_count + 1, sizeof(*s->members));
	bool ok = s->members != NULL;
	LIST_EACH (&g->members, node, tmp) {
		const struct group_member *m = CONTAINER_OF(node, struct group_member, node);
		if (!ok)
			return false;
		struct seen_member *out = &s->members[s->member_count++];
		ok = copy_cstr(arena, m->id, &out->id) &&
		     copy_cstr(arena, m->instance_id, &out->instance_id) &&
		     copy_cstr(arena, m->client_id, &out->client_id) &&
		     copy_cstr(arena, m->client_host, &out->client_host);
		out->session_timeout_ms = m->session_timeout_ms;
		out->rebalance_timeout_ms = m->rebalance_timeout_ms;
		if (ok && g->state == GROUP_STABLE && m->assignment.len) {
			out->assignment = arena_copy(arena, m->assignment);
			ok = out->assignment.ptr != NULL;
		}
	}
	return ok;
}

/* What a consumer has, as the leader of a classic group would have written it: version, topics with
 * their partitions, no user data. Topics that are gone are left out. */
static bool encode_assigned(
    struct group_walk *w, const struct consumer_member *m, struct bytes *ret)
{
	struct writer out;
	uint32_t topics = 0;
	writer_init(&out, OBSERVE_BYTES_MAX);
	write_u16_be(&out, 0);
	write_u32_be(&out, 0);
	for (size_t i = 0, end; i < m->assigned.count; i = end) {
		struct log_uuid id = m->assigned.at[i].topic;
		const struct log_topic *topic = log_topic_by_id(w->b->log, id);
		for (end = i; end < m->assigned.count; end++) {
			if (!log_uuid_equal(m->assigned.at[end].topic, id))
				break;
		}
		if (!topic)
			continue;
		topics++;
		write_u16_be(&out, (uint16_t)topic->name.len);
		write_bytes(&out, str_bytes(topic->name));
		write_u32_be(&out, (uint32_t)(end - i));
		for (size_t k = i; k < end; k++)
			write_u32_be(&out, (uint32_t)m->assigned.at[k].partition);
	}
	write_u32_be(&out, UINT32_MAX);
	if (out.err == ERR_OK) {
		put_u32_be(out.ptr + 2, topics);
		*ret = arena_copy(w->arena, writer_bytes(&out));
	}
	writer_release(&out);
	return ret->ptr != NULL;
}

static bool copy_consumers(
    struct group_walk *w, const struct consumer_group *c, struct seen_group *s)
{
	s->members = arena_calloc(w->arena, c->member_count + 1, sizeof(*s->members));
	bool ok = s->members != NULL;
	LIST_EACH (&c->members, node, tmp) {
		const struct consumer_member *m = CONTAINER_OF(node, struct consumer_member, node);
		if (!ok)
			return false;
		struct seen_member *out = &s->members[s->member_count++];
		ok = copy_cstr(w->arena, m->id, &out->id) &&
		     copy_cstr(w->arena, m->instance_id, &out->instance_id) &&
		     copy_cstr(w->arena, m->client_id, &out->client_id) &&
		     copy_cstr(w->arena, m->client_host, &out->client_host) &&
		     encode_assigned(w, m, &out->assignment);
		out->session_timeout_ms = c->limits->session_timeout_ms;
		out->rebalance_timeout_ms = m->rebalance_timeout_ms;
	}
	return ok;
}

/* Partitions that members are assigned: version i16, then an array of (topic, array of i32). */
static bool assigned_next(
    struct reader *r, struct str *topic, int32_t *left, int32_t *ret_partition)
{
	while (*left <= 0) {
		if (reader_left(r) < 2)
			return false;
		uint16_t len = read_u16_be(r);
		*topic = bytes_str(read_bytes(r, len));
		*left = read_i32_be(r);
		if (r->bad || *left < 0 || (*left == 0 && reader_left(r) < 2))
			return false;
	}
	*ret_partition = read_i32_be(r);
	--*left;
	return !r->bad;
}

static size_t add_assigned(const struct seen_group *s, struct seen_offset *rows, size_t room)
{
	size_t count = 0;
	for (size_t i = 0; i < s->member_count; i++) {
		struct reader r = reader_of(s->members[i].assignment);
		struct str topic = {NULL, 0};
		int32_t left = 0, partition;
		read_skip(&r, 2);
		int32_t topics = read_i32_be(&r);
		if (topics <= 0)
			continue;
		while (count < room && assigned_next(&r, &topic, &left, &partition))
			rows[count++] = (struct seen_offset){
			    .topic = topic,
			    .partition = partition,
			    .committed = -1,
			    .log_start = -1,
			    .end = -1,
			    .member = s->members[i].id,
			};
	}
	return count;
}

static int by_partition(const void *a, const void *b)
{
	const struct seen_offset *x = a, *y = b;
	int order = bytes_compare(str_bytes(x->topic), str_bytes(y->topic));
	if (order == 0)
		order = (x->partition > y->partition) - (x->partition < y->partition);
	/* of two rows of one partition the committed one first: it takes the other's member */
	return order ? order : (x->committed < y->committed) - (x->committed > y->committed);
}

static size_t merge_twins(struct seen_offset *rows, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		struct seen_offset *last = kept ? &rows[kept - 1] : NULL;
		if (last && last->partition == rows[i].partition &&
		    str_equal(last->topic, rows[i].topic)) {
			last->member = last->member.ptr ? last->member : rows[i].member;
			continue;
		}
		rows[kept++] = rows[i];
	}
	return kept;
}

static void fill_ends(struct broker *b, struct seen_offset *row)
{
	const struct log_topic *t = log_topic_find(b->log, row->topic);
	struct log_partition *p = t ? log_partition_find(b->log, t, row->partition) : NULL;
	struct log_partition_status status;
	if (!p)
		return;
	log_partition_status(p, &status);
	row->log_start = status.log_start;
	row->end = status.visible_end;
}

static bool copy_offsets(struct group_walk *w, const struct group_entry *e, struct seen_group *s)
{
	const struct offset **all;
	size_t count, room = 0;
	if (entry_offsets(e, &all, &count) != ERR_OK)
		return false;
	for (size_t i = 0; i < s->member_count; i++)
		room += s->members[i].assignment.len / 4;
	struct seen_offset *rows = arena_calloc(w->arena, count + room + 1, sizeof(*rows));
	for (size_t i = 0; rows && i < count; i++)
		rows[i] = (struct seen_offset){
		    .topic = arena_copy_str(w->arena, all[i]->topic),
		    .partition = all[i]->partition,
		    .committed = all[i]->offset,
		    .log_start = -1,
		    .end = -1,
		    .commit_ms = all[i]->commit_ms,
		    .metadata = arena_copy_str(w->arena, all[i]->metadata),
		};
	mem_free(all);
	if (!rows)
		return false;
	if (s->protocol_type.ptr && str_equal(s->protocol_type, STR("consumer")))
		count += add_assigned(s, rows + count, room);
	qsort(rows, count, sizeof(*rows), by_partition);
	s->offset_count = merge_twins(rows, count);
	s->offsets = rows;
	for (size_t i = 0; i < s->offset_count; i++)
		fill_ends(w->b, &rows[i]);
	return true;
}

static bool group_copy(struct group_walk *w, const struct group_entry *e)
{
	const struct group *g = &e->group;
	struct seen_group *s = arena_calloc(w->arena, 1, sizeof(*s));
	if (!s)
		return false;
	s->name = arena_copy_str(w->arena, g->name);
	s->state = str_of(entry_state_name(e));
	bool ok = s->name.ptr != NULL;
	if (e->consumer) {
		s->generation = e->consumer->epoch;
		s->protocol_type = STR("consumer");
		s->protocol = consumer_assignor(e->consumer);
		ok = ok && copy_consumers(w, e->consumer, s) && copy_offsets(w, e, s);
	} else {
		s->generation = g->generation;
		ok = ok && copy_cstr(w->arena, g->protocol_type, &s->protocol_type) &&
		     copy_cstr(w->arena, g->protocol, &s->protocol) &&
		     copy_cstr(w->arena, g->leader ? g->leader->id : NULL, &s->leader) &&
		     copy_members(w->arena, g, s) && copy_offsets(w, e, s);
	}
	if (w->last)
		w->last->next = s;
	else
		w->first = s;
	w->last = s;
	return ok;
}

static void group_slice(void *arg)
{
	struct group_walk *w = arg;
	size_t budget = OBSERVE_SLICE;
	while (w->next < w->name_count && w->err == ERR_OK) {
		const struct group_entry *e = entry_find(w->b->groups, w->names[w->next]);
		size_t cost = e ? 1 + e->offsets.count + entry_member_count(e) : 1;
		if (cost > budget && budget < OBSERVE_SLICE)
			return; /* a big one gets a slice of its own */
		budget -= cost < budget ? cost : budget;
		w->next++;
		if (e && !entry_is_vacant(e) && !group_copy(w, e))
			w->err = ERR_NOMEM;
	}
}

enum err observe_groups(
    struct broker *b, struct str only, struct arena *arena, struct seen_group **ret_groups)
{
	struct group_walk w = {.b = b, .arena = arena};
	if (only.ptr) {
		w.names = &only;
		w.name_count = 1;
	} else {
		loop_call(b->loop, group_names, &w);
		TRY(w.err);
		qsort(w.names, w.name_count, sizeof(*w.names), by_name);
	}
	while (w.next < w.name_count && w.err == ERR_OK)
		loop_call(b->loop, group_slice, &w);
	TRY(w.err);
	if (only.ptr && !w.first)
		return err_note(ERR_GROUP_NOT_FOUND, "group " STR_FMT, STR_ARG(only));
	*ret_groups = w.first;
	return ERR_OK;
}

/* ---- records --------------------------------------------------------------------------------- */

struct read_wait {
	struct broker *b;
	const struct observe_read *what;
	struct log_read *read;
	struct gate gate;
	enum err err; /* before it was started */
};

static void read_done(struct log_read *read)
{
	struct read_wait *w = read->user;
	gate_open(&w->gate);
}

static struct log_partition *find_partition(struct broker *b, struct str topic, int32_t partition)
{
	const struct log_topic *t = log_topic_find(b->log, topic);
	return t ? log_partition_find(b->log, t, partition) : NULL;
}

static void read_start(void *arg)
{
	struct read_wait *w = arg;
	struct log_partition *p = find_partition(w->b, w->what->topic, w->what->partition);
	if (!p) {
		w->err = ERR_UNKNOWN_TOPIC;
		gate_open(&w->gate);
		return;
	}
	*w->read = (struct log_read){
	    .partition = p,
	    .offset = w->what->offset,
	    .max_bytes = w->what->max_bytes,
	    .user = w,
	    .done = read_done,
	};
	log_read(w->b->log, w->read);
}

enum err observe_read(struct broker *b, const struct observe_read *what, struct log_read *ret_read)
{
	struct read_wait w = {.b = b, .what = what, .read = ret_read};
	gate_init(&w.gate);
	loop_call(b->loop, read_start, &w);
	gate_wait(&w.gate);
	gate_release(&w.gate);
	enum err err = w.err != ERR_OK ? w.err : ret_read->err;
	if (err != ERR_OK && w.err == ERR_OK)
		log_read_release(ret_read);
	if (err != ERR_OK)
		return err_note(err, "topic " STR_FMT " partition %d offset %lld",
		    STR_ARG(what->topic), what->partition, (long long)what->offset);
	return ERR_OK;
}

struct time_wait {
	struct broker *b;
	struct str topic;
	int32_t partition;
	int64_t time_ms, end;
	struct log_find_time find;
	struct gate gate;
	enum err err;
};

static void time_done(struct log_find_time *find)
{
	struct time_wait *w = find->user;
	gate_open(&w->gate);
}

static void time_start(void *arg)
{
	struct time_wait *w = arg;
	struct log_partition *p = find_partition(w->b, w->topic, w->partition);
	struct log_partition_status status;
	if (!p) {
		w->err = ERR_UNKNOWN_TOPIC;
		gate_open(&w->gate);
		return;
	}
	log_partition_status(p, &status);
	w->end = status.visible_end;
	w->find = (struct log_find_time){
	    .partition = p, .timestamp_ms = w->time_ms, .user = w, .done = time_done};
	log_find_time(w->b->log, &w->find);
}

enum err observe_time(
    struct broker *b, struct str topic, int32_t partition, int64_t time_ms, int64_t *ret_offset)
{
	struct time_wait w = {.b = b, .topic = topic, .partition = partition, .time_ms = time_ms};
	gate_init(&w.gate);
	loop_call(b->loop, time_start, &w);
	gate_wait(&w.gate);
	gate_release(&w.gate);
	TRY(w.err);
	TRY(w.find.err);
	*ret_offset = w.find.offset >= 0 ? w.find.offset : w.end;
	return ERR_OK;
}
