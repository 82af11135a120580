/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a consumer group: their memory and what they hold. No rules of the protocol here. */
#include "consumer.h"
#include <stdio.h>

/* ---- sets of partitions ---------------------------------------------------------------------- */

int consumer_part_order(const struct consumer_part *a, const struct consumer_part *b)
{
	int order = memcmp(a->topic.b, b->topic.b, sizeof(a->topic.b));
	return order ? order : (a->partition > b->partition) - (a->partition < b->partition);
}

const struct consumer_part *consumer_parts_find(
    const struct consumer_parts *set, struct log_uuid topic, int32_t partition)
{
	struct consumer_part wanted = {.topic = topic, .partition = partition};
	size_t from = 0, end = set->count;
	while (from < end) {
		size_t at = from + (end - from) / 2;
		int order = consumer_part_order(&set->at[at], &wanted);
		if (order == 0)
			return &set->at[at];
		if (order < 0)
			from = at + 1;
		else
			end = at;
	}
	return NULL;
}

void consumer_parts_release(struct consumer_parts *set)
{
	mem_free(set->at);
	*set = (struct consumer_parts){0};
}

/* ---- holding --------------------------------------------------------------------------------- */

static void release_parts(
    struct consumer_group *c, struct consumer_member *m, struct consumer_parts *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct consumer_slot *slot =
		    consumer_slot(c, set->at[i].topic, set->at[i].partition);
		ASSERT(slot && slot->owner == m);
		slot->owner = NULL;
	}
	consumer_parts_release(set);
}

void consumer_member_drop(struct consumer_group *c, struct consumer_member *m, bool all)
{
	release_parts(c, m, &m->revoking);
	if (all)
		release_parts(c, m, &m->assigned);
	m->rebalance_due_ms = 0;
	m->current_dirty = c->dirty = true;
}

/* ---- the classic protocol -------------------------------------------------------------------- */

static void classic_free(struct consumer_classic *classic)
{
	if (classic)
		mem_free(classic->protocols);
	mem_free(classic);
}

static enum err classic_new(
    const struct consumer_speech *from, struct consumer_classic **ret_classic)
{
	struct consumer_classic *classic = NULL;
	if (from) {
		classic = mem_calloc(1, sizeof(*classic));
		if (!classic || protocols_copy(from->protocols, from->protocol_count,
		                    &classic->protocols) != ERR_OK) {
			mem_free(classic);
			return ERR_NOMEM;
		}
		classic->session_timeout_ms = from->session_timeout_ms;
		classic->protocol_count = from->protocol_count;
	}
	*ret_classic = classic;
	return ERR_OK;
}

static bool classic_equal(const struct consumer_classic *a, const struct consumer_classic *b)
{
	if (!a || !b)
		return a == b;
	if (a->session_timeout_ms != b->session_timeout_ms ||
	    a->protocol_count != b->protocol_count)
		return false;
	for (size_t i = 0; i < a->protocol_count; i++) {
		if (!str_equal(a->protocols[i].name, b->protocols[i].name) ||
		    !bytes_equal(a->protocols[i].metadata, b->protocols[i].metadata))
			return false;
	}
	return true;
}

static size_t classic_bytes(const struct consumer_classic *classic)
{
	return classic
	           ? sizeof(*classic) + protocols_len(classic->protocols, classic->protocol_count)
	           : 0;
}

/* Counted among the members that speak the classic protocol, or not any more. */
static enum err classic_count(struct consumer_group *c, const struct consumer_classic *classic)
{
	if (!classic)
		return ERR_OK;
	TRY(support_add(&c->support, classic->protocols, classic->protocol_count));
	c->classic_count++;
	return ERR_OK;
}

static void classic_discount(struct consumer_group *c, const struct consumer_classic *classic)
{
	if (!classic)
		return;
	support_drop(&c->support, classic->protocols, classic->protocol_count);
	c->classic_count--;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* Text is kept as C strings. */
static bool is_text(struct str s)
{
	return s.len <= UINT16_MAX / 2 &&
	       (s.len == 0 || (!memchr(s.ptr, '\0', s.len) && str_is_utf8(s)));
}

/* Replaces *field unless `now` is null; *ret_changed when it says something else. */
static enum err set_text(char **field, struct str now, bool *ret_changed)
{
	if (!now.ptr || (*field && str_equal(str_of(*field), now)))
		return ERR_OK;
	char *copy = mem_strdup(now);
	if (!copy)
		return ERR_NOMEM;
	mem_free(*field);
	*field = copy;
	*ret_changed = true;
	return ERR_OK;
}

static size_t text_len(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

static size_t member_bytes(const struct consumer_member *m)
{
	return sizeof(*m) + text_len(m->id) + text_len(m->instance_id) + text_len(m->rack_id) +
	       text_len(m->assignor) + text_len(m->client_id) + text_len(m->client_host) +
	       classic_bytes(m->classic);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void free_member(struct consumer_group *c, struct consumer_member *m)
{
	if (!m)
		return;
	if (m->subscription)
		consumer_unsubscribe(c, m->subscription);
	if (c->limits->budget)
		budget_give(c->limits->budget, m->bytes);
	c->bytes -= m->bytes;
	classic_discount(c, m->classic);
	classic_free(m->classic);
	consumer_parts_release(&m->target);
	consumer_parts_release(&m->assigned);
	consumer_parts_release(&m->revoking);
	mem_free(m->id);
	mem_free(m->instance_id);
	mem_free(m->rack_id);
	mem_free(m->assignor);
	mem_free(m->client_id);
	mem_free(m->client_host);
	mem_free(m);
}

/* Pays for what the member is now. Texts that it has grown by stay when there is no room: they are
 * little. */
static enum err charge(struct consumer_group *c, struct consumer_member *m, size_t now)
{
	struct budget *budget = c->limits->budget;
	if (now > m->bytes && c->bytes + (now - m->bytes) > c->limits->bytes_max)
		return ERR_GROUP_MAX_SIZE;
	if (budget && now > m->bytes && !budget_take(budget, now - m->bytes))
		return ERR_GROUP_MAX_SIZE;
	if (budget && now < m->bytes)
		budget_give(budget, m->bytes - now);
	c->bytes = c->bytes + now - m->bytes;
	m->bytes = now;
	return ERR_OK;
}

/* Speaks from now on as the heartbeat says. */
static enum err set_classic(
    struct consumer_group *c, struct consumer_member *m, const struct consumer_speech *from)
{
	struct consumer_classic *now;
	TRY(classic_new(from, &now));
	if (classic_equal(m->classic, now)) {
		classic_free(now);
		return ERR_OK;
	}
	enum err e = charge(c, m, member_bytes(m) - classic_bytes(m->classic) + classic_bytes(now));
	if (e == ERR_OK)
		e = classic_count(c, now);
	if (e != ERR_OK) {
		classic_free(now);
		return e;
	}
	classic_discount(c, m->classic);
	classic_free(m->classic);
	m->classic = now;
	m->metadata_dirty = c->dirty = true;
	return ERR_OK;
}

static enum err put_member(struct consumer_group *c, struct consumer_member *m)
{
	TRY(map_put(&c->by_id, str_bytes(str_of(m->id)), m));
	enum err e = m->instance_id ? map_put(&c->by_instance, str_bytes(str_of(m->instance_id)), m)
	                            : ERR_OK;
	if (e != ERR_OK) {
		map_remove(&c->by_id, str_bytes(str_of(m->id)));
		return e;
	}
	list_push_back(&c->members, &m->node);
	c->member_count++;
	return ERR_OK;
}

/* A UUID (RFC 4122, version 4) in URL-safe base 64, as Kafka writes its own. */
char *consumer_make_id(struct consumer_group *c)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t r[18] = {0};
	char text[23] = "";
	do {
		c->ops->random(c, r, 16);
		r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
		r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
		for (size_t i = 0; i < 22; i++) {
			size_t bit = 6 * i;
			unsigned two = (unsigned)(r[bit / 8] << 8 | r[bit / 8 + 1]);
			text[i] = digits[two >> (10 - bit % 8) & 63];
		}
	} while (text[0] == '-'); /* reads as an option on a command line */
	return mem_strdup(str_of(text));
}

enum err consumer_member_new(struct consumer_group *c, struct str id,
    const struct consumer_beat *beat, struct consumer_member **ret_member)
{
	bool changed = false;
	if (c->member_count >= c->limits->members_max)
		return err_note(ERR_GROUP_MAX_SIZE, "%zu members", c->member_count);
	if (!is_text(id) || !is_text(beat->instance_id) || !is_text(beat->client_id) ||
	    !is_text(beat->client_host))
		return err_note(ERR_INVALID_REQUEST, "an id is not text");
	struct consumer_member *m = mem_calloc(1, sizeof(*m));
	if (!m)
		return ERR_NOMEM;
	list_node_init(&m->node);
	m->id = id.len ? mem_strdup(id) : consumer_make_id(c);
	enum err e = m->id ? set_text(&m->instance_id, beat->instance_id, &changed) : ERR_NOMEM;
	if (e == ERR_OK)
		e = consumer_member_update(c, m, beat, &changed);
	if (e == ERR_OK)
		e = put_member(c, m);
	if (e != ERR_OK) {
		free_member(c, m);
		return e;
	}
	m->metadata_dirty = m->target_dirty = m->current_dirty = c->dirty = true;
	*ret_member = m;
	return ERR_OK;
}

enum err consumer_member_update(struct consumer_group *c, struct consumer_member *m,
    const struct consumer_beat *beat, bool *ret_changed)
{
	struct consumer_subscription *s = NULL;
	bool said = false;
	if (!is_text(beat->rack_id) || !is_text(beat->client_id) || !is_text(beat->client_host))
		return err_note(ERR_INVALID_REQUEST, "an id is not text");
	if (beat->assignor.ptr && !assignor_exists(beat->assignor))
		return err_note(ERR_UNSUPPORTED_ASSIGNOR, "there are uniform and range");
	TRY(consumer_subscribe(c, beat, m->subscription, &s));
	enum err e = set_text(&m->rack_id, beat->rack_id, &said);
	if (e == ERR_OK)
		e = set_text(&m->client_id, beat->client_id, &said);
	if (e == ERR_OK)
		e = set_text(&m->client_host, beat->client_host, &said);
	if (e == ERR_OK)
		e = set_text(&m->assignor, beat->assignor, &said);
	if (e == ERR_OK)
		e = set_classic(c, m, beat->classic);
	if (e == ERR_OK)
		e = charge(c, m, member_bytes(m));
	if (said) /* also what was set before a failure */
		m->metadata_dirty = c->dirty = true;
	if (e != ERR_OK) {
		consumer_unsubscribe(c, s);
		return e;
	}
	if (beat->rebalance_timeout_ms >= 0 &&
	    m->rebalance_timeout_ms != beat->rebalance_timeout_ms) {
		m->rebalance_timeout_ms = beat->rebalance_timeout_ms;
		m->metadata_dirty = c->dirty = true;
	}
	if (s == m->subscription) {
		consumer_unsubscribe(c, s); /* counted once per member */
		return ERR_OK;
	}
	if (m->subscription)
		consumer_unsubscribe(c, m->subscription);
	m->subscription = s;
	m->metadata_dirty = c->dirty = *ret_changed = true;
	return ERR_OK;
}

enum err consumer_member_rename(struct consumer_group *c, struct consumer_member *m, struct str id)
{
	if (!is_text(id))
		return err_note(ERR_INVALID_REQUEST, "an id is not text");
	char *copy = id.len ? mem_strdup(id) : consumer_make_id(c);
	if (!copy || map_put(&c->by_id, str_bytes(str_of(copy)), m) != ERR_OK) {
		mem_free(copy);
		return ERR_NOMEM;
	}
	map_remove(&c->by_id, str_bytes(str_of(m->id)));
	mem_free(m->id);
	m->id = copy;
	m->metadata_dirty = m->target_dirty = m->current_dirty = c->dirty = true;
	c->removed = c->dirty = true;
	return ERR_OK;
}

void consumer_member_remove(struct consumer_group *c, struct consumer_member *m)
{
	consumer_member_drop(c, m, true);
	map_remove(&c->by_id, str_bytes(str_of(m->id)));
	if (m->instance_id)
		map_remove(&c->by_instance, str_bytes(str_of(m->instance_id)));
	list_remove(&m->node);
	c->member_count--;
	c->removed = c->dirty = true;
	free_member(c, m);
}
