/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/kafka/fetch_session.h"
#include "broker/auth/auth.h"
#include "broker/kafka/server.h"

enum { EPOCH_FIRST = 0, EPOCH_FINAL = -1 };

void fetch_sessions_init(struct fetch_sessions *all)
{
	*all = (struct fetch_sessions){0};
	map_init(&all->by_id);
	list_init(&all->by_use);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void count_bytes(struct fetch_sessions *all, struct fetch_session *s, size_t len)
{
	s->bytes += len;
	all->bytes += len;
}

static void session_free(struct fetch_sessions *all, struct fetch_session *s)
{
	struct fetch_session_part *part;
	struct fetch_session_topic *topic;
	size_t cursor = 0;
	log_watches_cancel(&s->watches);
	while ((part = map_next(&s->index, &cursor))) {
		log_watch_cancel(&part->watch);
		mem_free(part);
	}
	cursor = 0;
	while ((topic = map_next(&s->topics, &cursor)))
		mem_free(topic);
	map_release(&s->topics);
	map_release(&s->index);
	all->bytes -= s->bytes;
	mem_free(s);
}

/* Nobody finds it any more. */
static void session_remove(struct fetch_sessions *all, struct fetch_session *s)
{
	void *there = map_remove(&all->by_id, bytes_of(&s->id, sizeof(s->id)));
	ASSERT(there == s);
	list_remove(&s->node);
	metric_set(METRIC_FETCH_SESSIONS, (int64_t)all->by_id.count);
	s->ended = true;
	if (!s->used)
		session_free(all, s);
}

void fetch_sessions_release(struct fetch_sessions *all)
{
	struct list_node *n;
	while ((n = list_first(&all->by_use)))
		session_remove(all, CONTAINER_OF(n, struct fetch_session, node));
	ASSERT(all->bytes == 0);
	map_release(&all->by_id);
}

/* A free slot, if need be that of a session nobody seems to use any more. */
static bool slot_find(struct fetch_sessions *all, int64_t now_ns)
{
	LIST_EACH (&all->by_use, n, next) {
		struct fetch_session *s = CONTAINER_OF(n, struct fetch_session, node);
		if (all->by_id.count < all->max && all->bytes < FETCH_SESSION_BYTES)
			return true;
		if (now_ns - s->used_ns < FETCH_SESSION_REST_NS)
			return false;
		if (!s->used)
			session_remove(all, s);
	}
	return all->by_id.count < all->max && all->bytes < FETCH_SESSION_BYTES;
}

static struct fetch_session *session_new(const struct request *req)
{
	struct fetch_sessions *all = &req->broker->fetch_sessions;
	struct str principal = conn_principal(req->conn);
	int64_t now_ns = loop_now_ns(req->loop);
	if (!slot_find(all, now_ns))
		return NULL;
	struct fetch_session *s = mem_calloc(1, sizeof(*s) + principal.len);
	if (!s)
		return NULL;
	map_init(&s->topics);
	map_init(&s->index);
	list_init(&s->parts);
	log_watches_init(&s->watches, fetch_changed);
	memcpy(s + 1, principal.ptr, principal.len);
	s->principal = str_from((const char *)(s + 1), principal.len);
	s->by_id = req->version >= 13;
	s->epoch = EPOCH_FIRST + 1;
	s->used_ns = now_ns;
	do { /* a positive one that nobody can guess */
		io_random(req->broker->io, &s->id, sizeof(s->id));
		s->id &= INT32_MAX;
	} while (s->id == 0 || map_get(&all->by_id, bytes_of(&s->id, sizeof(s->id))));
	if (map_put(&all->by_id, bytes_of(&s->id, sizeof(s->id)), s) != ERR_OK) {
		session_free(all, s);
		return NULL;
	}
	list_push_back(&all->by_use, &s->node);
	metric_set(METRIC_FETCH_SESSIONS, (int64_t)all->by_id.count);
	count_bytes(all, s, sizeof(*s) + principal.len);
	return s;
}

/* ---- what it fetches ------------------------------------------------------------------------- */

static struct bytes topic_key(
    const struct fetch_session *s, const struct str *name, const struct log_uuid *id)
{
	return s->by_id ? bytes_of(id, sizeof(*id)) : str_bytes(*name);
}

static enum err topic_get(struct fetch_sessions *all, struct fetch_session *s,
    const struct fetch_request_topic *asked, struct fetch_session_topic **ret_topic)
{
	*ret_topic = map_get(&s->topics, topic_key(s, &asked->topic, &asked->topic_id));
	if (*ret_topic)
		return ERR_OK;
	size_t len = s->by_id ? 0 : asked->topic.len;
	struct fetch_session_topic *t = mem_calloc(1, sizeof(*t) + len + 1);
	if (!t)
		return ERR_NOMEM;
	if (s->by_id) {
		t->id = asked->topic_id;
	} else {
		if (len > 0)
			memcpy(t + 1, asked->topic.ptr, len);
		t->name = str_from((const char *)(t + 1), len);
	}
	enum err err = map_put(&s->topics, topic_key(s, &t->name, &t->id), t);
	if (err != ERR_OK) {
		mem_free(t);
		return err;
	}
	count_bytes(all, s, sizeof(*t) + len + 1);
	*ret_topic = t;
	return ERR_OK;
}

static struct fetch_session_part *part_find(
    const struct fetch_session *s, const struct fetch_session_topic *topic, int32_t partition)
{
	struct fetch_session_part probe = {.key = {topic, partition}};
	return map_get(&s->index, bytes_of(&probe.key, sizeof(probe.key)));
}

/* It rests no more. */
static void part_wake(struct fetch_session *s, struct fetch_session_part *part)
{
	log_watch_cancel(&part->watch);
	if (!list_linked(&part->node))
		list_push_back(&s->parts, &part->node);
}

static enum err part_set(struct fetch_sessions *all, struct fetch_session *s,
    struct fetch_session_topic *topic, const struct fetch_request_partition *asked)
{
	struct fetch_session_part *part = part_find(s, topic, asked->partition);
	if (!part) {
		part = mem_calloc(1, sizeof(*part));
		if (!part)
			return ERR_NOMEM;
		part->topic = topic;
		part->key.topic = topic;
		part->key.partition = asked->partition;
		part->high_watermark = part->log_start_offset = -1;
		enum err err = map_put(&s->index, bytes_of(&part->key, sizeof(part->key)), part);
		if (err != ERR_OK) {
			mem_free(part);
			return err;
		}
		list_node_init(&part->node);
		log_watch_init(&part->watch, &s->watches);
		topic->parts++;
		count_bytes(all, s, sizeof(*part));
	}
	part_wake(s, part);
	part->fetch_offset = asked->fetch_offset;
	part->current_leader_epoch = asked->current_leader_epoch;
	part->max_bytes = asked->partition_max_bytes;
	return ERR_OK;
}

static void part_remove(
    struct fetch_sessions *all, struct fetch_session *s, struct fetch_session_part *part)
{
	struct fetch_session_topic *topic = part->topic;
	(void)map_remove(&s->index, bytes_of(&part->key, sizeof(part->key)));
	list_remove(&part->node);
	log_watch_cancel(&part->watch);
	s->bytes -= sizeof(*part);
	all->bytes -= sizeof(*part);
	mem_free(part);
	if (--topic->parts > 0)
		return;
	size_t len = sizeof(*topic) + topic->name.len + 1;
	(void)map_remove(&s->topics, topic_key(s, &topic->name, &topic->id));
	s->bytes -= len;
	all->bytes -= len;
	mem_free(topic);
}

static enum err session_add(
    struct fetch_sessions *all, struct fetch_session *s, const struct fetch_request *body)
{
	for (uint32_t i = 0; i < body->topics.count; i++) {
		const struct fetch_request_topic *asked = &body->topics.at[i];
		struct fetch_session_topic *topic;
		if (asked->partitions.count == 0)
			continue;
		TRY(topic_get(all, s, asked, &topic));
		for (uint32_t k = 0; k < asked->partitions.count; k++)
			TRY(part_set(all, s, topic, &asked->partitions.at[k]));
	}
	return all->bytes <= FETCH_SESSION_BYTES ? ERR_OK : ERR_LIMIT;
}

static void session_forget(
    struct fetch_sessions *all, struct fetch_session *s, const struct fetch_request *body)
{
	for (uint32_t i = 0; i < body->forgotten_topics_data.count; i++) {
		const struct fetch_request_forgotten *f = &body->forgotten_topics_data.at[i];
		for (uint32_t k = 0; k < f->partitions.count; k++) {
			struct fetch_session_topic *topic =
			    map_get(&s->topics, topic_key(s, &f->topic, &f->topic_id));
			struct fetch_session_part *part =
			    topic ? part_find(s, topic, f->partitions.at[k]) : NULL;
			if (part)
				part_remove(all, s, part);
		}
	}
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct fetch_session *session_of(const struct request *req, int32_t id)
{
	struct fetch_session *s =
	    map_get(&req->broker->fetch_sessions.by_id, bytes_of(&id, sizeof(id)));
	return s && str_equal(s->principal, conn_principal(req->conn)) ? s : NULL;
}

/* What has been seen may look different to this request. */
static void wake_others(const struct request *req, struct fetch_session *s)
{
	const struct fetch_request *body = req->body;
	struct fetch_session_part *part;
	const struct auth *auth = req->broker->auth;
	uint64_t rights = auth->acls_version;
	size_t cursor = 0;
	if (auth->acls.hosts > 0)
		rights ^= map_hash(str_bytes(str_of(req->conn->peer.host)));
	bool same = s->isolation == body->isolation_level && s->rights == rights;
	s->isolation = body->isolation_level;
	s->rights = rights;
	while (!same && (part = map_next(&s->index, &cursor)))
		part_wake(s, part);
}

static void session_take(
    struct fetch_sessions *all, struct fetch_session *s, const struct request *req)
{
	s->used = true;
	s->used_ns = loop_now_ns(req->loop);
	wake_others(req, s);
	list_remove(&s->node);
	list_push_back(&all->by_use, &s->node);
}

static enum err begin_full(const struct request *req, struct fetch_session **ret_session)
{
	struct fetch_sessions *all = &req->broker->fetch_sessions;
	const struct fetch_request *body = req->body;
	struct fetch_session *old = body->session_id ? session_of(req, body->session_id) : NULL;
	if (old)
		session_remove(all, old);
	if (body->session_epoch == EPOCH_FINAL)
		return ERR_OK;
	struct fetch_session *s = session_new(req);
	if (!s)
		return ERR_OK; /* goes without */
	if (session_add(all, s, body) != ERR_OK || s->index.count == 0) {
		session_remove(all, s);
		err_clear();
		return ERR_OK;
	}
	session_take(all, s, req);
	*ret_session = s;
	return ERR_OK;
}

static enum err begin_incremental(const struct request *req, struct fetch_session **ret_session)
{
	struct fetch_sessions *all = &req->broker->fetch_sessions;
	const struct fetch_request *body = req->body;
	struct fetch_session *s = session_of(req, body->session_id);
	if (!s)
		return ERR_FETCH_SESSION_NOT_FOUND;
	if (s->used || s->epoch != body->session_epoch)
		return ERR_FETCH_SESSION_EPOCH;
	if (s->by_id != (req->version >= 13))
		return ERR_FETCH_SESSION_TOPIC_ID;
	s->epoch = s->epoch == INT32_MAX ? 1 : s->epoch + 1;
	if (session_add(all, s, body) != ERR_OK) {
		session_remove(all, s); /* too large by now: the client sends everything again */
		err_clear();
		return ERR_FETCH_SESSION_NOT_FOUND;
	}
	session_forget(all, s, body);
	if (s->index.count == 0) {
		session_remove(
		    all, s); /* nothing left to fetch: the request, which names nothing either */
		return ERR_OK;
	}
	session_take(all, s, req);
	*ret_session = s;
	return ERR_OK;
}

enum err fetch_session_begin(const struct request *req, struct fetch_session **ret_session)
{
	const struct fetch_request *body = req->body;
	*ret_session = NULL;
	if (req->version < 7)
		return ERR_OK;
	if (body->session_epoch == EPOCH_FIRST || body->session_epoch == EPOCH_FINAL)
		return begin_full(req, ret_session);
	return begin_incremental(req, ret_session);
}

void fetch_session_end(struct fetch_sessions *all, struct fetch_session *s)
{
	ASSERT(s->used);
	s->used = false;
	if (s->ended)
		session_free(all, s);
}

void fetch_session_revoke(struct fetch_sessions *all, struct fetch_session *s)
{
	ASSERT(s->used);
	if (!s->ended)
		session_remove(all, s);
}

struct fetch_session_part *fetch_session_changed(struct fetch_session *s)
{
	struct list_node *n = list_first(&s->watches.changed);
	if (!n)
		return NULL;
	struct fetch_session_part *part = CONTAINER_OF(n, struct fetch_session_part, watch.node);
	part_wake(s, part);
	return part;
}

void fetch_session_rest(
    struct fetch_session_part *part, struct log_partition *p, uint64_t seen_bytes)
{
	list_remove(&part->node);
	part->seen_bytes = seen_bytes;
	log_watch(p, &part->watch);
}

bool fetch_session_tell(struct fetch_session *s, struct fetch_session_part *part,
    const struct fetch_response_partition *out)
{
	bool news = part->high_watermark != out->high_watermark ||
	            part->log_start_offset != out->log_start_offset;
	part->high_watermark = out->high_watermark;
	part->log_start_offset = out->log_start_offset;
	if (out->error_code != 0) {
		part->high_watermark = -1; /* and when it is well again, too */
		return true;
	}
	if (out->records.count == 0)
		return news;
	list_remove(&part->node);
	list_push_back(&s->parts, &part->node);
	return true;
}
