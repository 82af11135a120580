/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the patterns of a consumer group find. A pattern looks at each topic once: what it has found
 * is remembered, and a topic that has come since is looked at alone (struct log_topic's `born`). It
 * finds what its viewer may describe; when rights have changed all it has found is judged again.
 *
 * That work is counted in steps. A heartbeat does no more than PATTERN_STEPS of it, and the name it
 * is at; the next ones go on, each pattern in turn. Until a pattern is through, what it had found
 * holds: nothing for a new one; one that was restored keeps its group loading, so that its members
 * keep what they have.
 */
#include "consumer.h"

enum {
	PATTERN_STEPS = 1000000, /* two or three milliseconds */
	STEPS_TO_LOOK = 2,       /* about what a topic costs that is not new */
	STEPS_TO_FIND = 20,
	STEPS_TO_JUDGE = 300,
};

static struct consumer_pattern *pattern_of(struct list_node *node)
{
	return CONTAINER_OF(node, struct consumer_pattern, node);
}

/* ---- life ------------------------------------------------------------------------------------ */

static enum err charge(struct consumer_group *c, struct consumer_pattern *p, size_t bytes)
{
	if (c->bytes + bytes > c->limits->bytes_max ||
	    (c->limits->budget && !budget_take(c->limits->budget, bytes)))
		return err_note(ERR_GROUP_MAX_SIZE, "subscriptions of %zu bytes", c->bytes);
	c->bytes += bytes;
	p->bytes += bytes;
	return ERR_OK;
}

static void pattern_free(struct consumer_group *c, struct consumer_pattern *p)
{
	if (c->limits->budget)
		budget_give(c->limits->budget, p->bytes);
	c->bytes -= p->bytes;
	topic_regex_free(p->regex);
	mem_free((void *)(uintptr_t)p->key.ptr);
	mem_free(p->found);
	mem_free(p);
}

static enum err make_key(struct str text, struct str viewer, struct str *ret_key)
{
	size_t len = 4 + text.len + viewer.len;
	uint8_t *key = mem_alloc(len);
	if (!key)
		return ERR_NOMEM;
	put_u32_be(key, (uint32_t)text.len);
	memcpy(key + 4, text.ptr, text.len);
	if (viewer.len)
		memcpy(key + 4 + text.len, viewer.ptr, viewer.len);
	*ret_key = str_from(key, len);
	return ERR_OK;
}

/* Takes `key`, also on failure. */
static enum err pattern_new(
    struct consumer_group *c, struct str key, struct consumer_pattern **ret_pattern)
{
	struct consumer_pattern *p = mem_calloc(1, sizeof(*p));
	if (!p) {
		mem_free((void *)(uintptr_t)key.ptr);
		return ERR_NOMEM;
	}
	list_node_init(&p->node);
	p->key = key;
	struct reader r = reader_of(str_bytes(key));
	struct str text = bytes_str(read_bytes(&r, read_u32_be(&r)));
	p->viewer = str_from(key.ptr + 4 + text.len, key.len - 4 - text.len);
	enum err e = topic_regex_new(text, &p->regex);
	if (e == ERR_OK)
		e = charge(c, p, sizeof(*p) + key.len + topic_regex_bytes(p->regex));
	if (e == ERR_OK)
		e = map_put(&c->by_pattern, str_bytes(key), p);
	if (e != ERR_OK) {
		pattern_free(c, p);
		return e;
	}
	list_push_back(&c->patterns, &p->node);
	*ret_pattern = p;
	return ERR_OK;
}

enum err consumer_pattern_hold(struct consumer_group *c, struct str text, struct str viewer,
    struct consumer_pattern **ret_pattern)
{
	struct str key;
	TRY(make_key(text, viewer, &key));
	struct consumer_pattern *p = map_get(&c->by_pattern, str_bytes(key));
	if (p)
		mem_free((void *)(uintptr_t)key.ptr);
	else
		TRY(pattern_new(c, key, &p));
	p->holders++;
	*ret_pattern = p;
	return ERR_OK;
}

void consumer_pattern_drop(struct consumer_group *c, struct consumer_pattern *p)
{
	if (!p || --p->holders > 0)
		return;
	map_remove(&c->by_pattern, str_bytes(p->key));
	list_remove(&p->node);
	pattern_free(c, p);
}

/* ---- looking --------------------------------------------------------------------------------- */

bool consumer_pattern_sees(const struct log_topic *topic)
{
	static const char ours[] = "__kappa_";
	size_t len = sizeof ours - 1;
	return !topic->internal || topic->name.len < len || memcmp(topic->name.ptr, ours, len) != 0;
}

static bool is_current(struct consumer_group *c, const struct consumer_pattern *p)
{
	return p->looked && p->topics_version == c->ops->topics_version(c) &&
	       p->rights_version == c->ops->rights_version(c);
}

static bool judge(struct consumer_group *c, const struct consumer_pattern *p,
    const struct log_topic *topic, uint64_t *steps)
{
	*steps += p->viewer.len ? STEPS_TO_JUDGE : 0;
	return p->viewer.len == 0 || c->ops->may_see(c, p->viewer, topic->name);
}

static enum err add(
    struct consumer_group *c, struct consumer_pattern *p, struct log_uuid id, bool seen)
{
	if (p->count == p->capacity) {
		size_t more = p->capacity ? p->capacity : 16;
		TRY(charge(c, p, more * sizeof(*p->found)));
		struct consumer_finding *grown =
		    mem_realloc(p->found, (p->capacity + more) * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		p->found = grown;
		p->capacity += more;
	}
	p->found[p->count++] = (struct consumer_finding){.topic = id, .seen = seen};
	return ERR_OK;
}

static void begin(struct consumer_group *c, struct consumer_pattern *p)
{
	p->pass = (struct consumer_pass){.under_way = true,
	    .topics_version = c->ops->topics_version(c),
	    .rights_version = c->ops->rights_version(c)};
	p->pass.cursor_version = p->pass.topics_version;
}

/* What was found before: topics that are gone are forgotten. True when through. */
static bool look_back(struct consumer_group *c, struct consumer_pattern *p, uint64_t *steps)
{
	struct consumer_pass *pass = &p->pass;
	bool rights = pass->rights_version != p->rights_version;
	while (pass->kept < p->count && *steps < PATTERN_STEPS) {
		struct consumer_finding *f = &p->found[pass->kept];
		const struct log_topic *topic = c->ops->topic_by_id(c, f->topic);
		*steps += STEPS_TO_FIND;
		if (!topic) {
			*f = p->found[--p->count];
			continue;
		}
		if (rights)
			f->seen = judge(c, p, topic, steps);
		pass->kept++;
	}
	return pass->kept == p->count;
}

/* Topics come in order of their names; what has come or gone since the last slice has moved
 * them. */
static bool is_behind(const struct consumer_pass *pass, struct str name)
{
	return bytes_compare(str_bytes(name), bytes_of(pass->last, pass->last_len)) <= 0;
}

/* Topics that it has not looked at. *ret_through when those there were when the pass began are. */
static enum err look_on(
    struct consumer_group *c, struct consumer_pattern *p, uint64_t *steps, bool *ret_through)
{
	struct consumer_pass *pass = &p->pass;
	const struct log_topic *topic = NULL;
	uint64_t version = c->ops->topics_version(c);
	if (pass->cursor_version != version)
		pass->cursor = 0;
	pass->cursor_version = version;
	while (*steps < PATTERN_STEPS && (topic = c->ops->topic_next(c, &pass->cursor))) {
		*steps += STEPS_TO_LOOK;
		bool known = (p->looked && topic->born <= p->topics_version) ||
		             topic->born > pass->topics_version || is_behind(pass, topic->name);
		if (known || !consumer_pattern_sees(topic))
			continue;
		pass->last_len = topic->name.len;
		memcpy(pass->last, topic->name.ptr, topic->name.len);
		if (topic_regex_match(p->regex, topic->name, steps))
			TRY(add(c, p, topic->id, judge(c, p, topic, steps)));
	}
	*ret_through = *steps < PATTERN_STEPS;
	return ERR_OK;
}

/* One slice of a pass. */
static enum err look(struct consumer_group *c, struct consumer_pattern *p, uint64_t *steps)
{
	bool through = false;
	if (!p->pass.under_way)
		begin(c, p);
	if (!look_back(c, p, steps))
		return ERR_OK;
	enum err e = look_on(c, p, steps, &through);
	p->pass.kept = p->count; /* what was added has been looked at */
	if (e != ERR_OK) {       /* from the beginning, then */
		p->pass.under_way = p->looked = false;
		p->count = 0;
	}
	if (e != ERR_OK || !through)
		return e;
	p->pass.under_way = false;
	p->looked = true;
	p->topics_version = p->pass.topics_version;
	p->rights_version = p->pass.rights_version;
	return ERR_OK;
}

enum err consumer_patterns_look(struct consumer_group *c)
{
	uint64_t steps = 0;
	bool loading = false;
	struct list_node *first;
	size_t turns = c->by_pattern.count;
	while (turns-- && steps < PATTERN_STEPS && (first = list_first(&c->patterns))) {
		struct consumer_pattern *p = pattern_of(first);
		list_remove(first);
		list_push_back(&c->patterns, first);
		if (!is_current(c, p))
			TRY(look(c, p, &steps));
	}
	c->patterns_behind = false;
	LIST_EACH (&c->patterns, node, tmp) {
		const struct consumer_pattern *p = pattern_of(node);
		c->patterns_behind |= !is_current(c, p);
		loading |= p->restored && !p->looked;
	}
	return loading ? err_note(ERR_COORDINATOR_LOADING, "topics are matched with patterns")
	               : ERR_OK;
}

void consumer_patterns_restored(struct consumer_group *c)
{
	LIST_EACH (&c->patterns, node, tmp)
		pattern_of(node)->restored = true;
}

bool consumer_patterns_missed(struct consumer_group *c, const struct log_topic *topic)
{
	LIST_EACH (&c->patterns, node, tmp) {
		const struct consumer_pattern *p = pattern_of(node);
		if (!p->looked || topic->born > p->topics_version)
			return consumer_pattern_sees(topic);
	}
	return false;
}
