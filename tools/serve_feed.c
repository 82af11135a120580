/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the native door's subscribers are told of views while there are any. Once a second:
 *   progress/VIEW/VERSION   of a version that is being rebuilt: the keys of interface.md's progress
 *   events/view             a version is new, gone, in another state, or has become the active one
 * The thread looks at the versions as `GET /v1/views` does; what happens between two looks and is
 * undone is not seen.
 * At each checkpoint of a live version, by its worker:
 *   view/VIEW/VERSION/KEY   the row with that key has changed, or is gone
 */
#include "log/base/json_write.h"
#include "tools/serve.h"

enum { EVENT_MAX = 4096, CHANGE_MAX = 4 << 20, KNOWN_MAX = 1000 };

struct known {
	char view[256];
	int32_t version;
	enum proc_version_state state;
	bool active, seen;
};

struct serve_feed {
	struct serve *serve;
	struct thread thread;
	struct mutex mutex;
	struct cond tick;
	bool closing;
	struct known *known; /* as of the last look, in its order */
	size_t count;
	bool begun; /* there was a last look: what is new is told */
	struct proc_watch watch;
};

/* ---- messages -------------------------------------------------------------------------------- */

static void publish(struct serve_feed *f, const char *topic, struct writer *w)
{
	if (w->err == ERR_OK)
		broker_publish(f->serve->broker, str_of(topic), writer_bytes(w));
	writer_release(w);
}

static void tell_progress(struct serve_feed *f, const struct proc_version_status *v)
{
	char topic[320];
	struct writer w;
	struct json_writer j;
	uint64_t left = v->input_total > v->input_done ? v->input_total - v->input_done : 0;
	snprintf(topic, sizeof topic, "progress/%s/%d", v->view, v->version);
	writer_init(&w, EVENT_MAX);
	json_write_init(&j, &w);
	json_object_begin(&j);
	json_key_str(&j, "op", STR("rebuild"));
	json_key_str(&j, "view", str_of(v->view));
	json_key_i64(&j, "version", v->version);
	json_key_u64(&j, "done", v->input_done);
	json_key_u64(&j, "total", v->input_total);
	json_key_double(&j, "rate", v->rate);
	/* done and total are bytes, the rate is records: the share done tells how many are left */
	if (v->rate > 0 && v->input_done > 0)
		json_key_double(&j, "eta_s",
		    (double)left / (double)v->input_done * (double)v->records / v->rate);
	json_key_u64(&j, "position", v->position);
	json_object_end(&j);
	publish(f, topic, &w);
}

static void tell_event(struct serve_feed *f, const struct known *k, const char *state)
{
	struct writer w;
	struct json_writer j;
	writer_init(&w, EVENT_MAX);
	json_write_init(&j, &w);
	json_object_begin(&j);
	json_key_str(&j, "view", str_of(k->view));
	json_key_i64(&j, "version", k->version);
	json_key_str(&j, "state", str_of(state));
	json_key_bool(&j, "active", k->active);
	json_object_end(&j);
	publish(f, "events/view", &w);
}

/* ---- changes of rows, on a worker's thread --------------------------------------------------- */

static bool changes_wanted(void *ctx)
{
	struct serve_feed *f = ctx;
	return broker_has_subscribers(f->serve->broker);
}

static void write_change(struct writer *w, const struct proc_change *c)
{
	struct json_writer j;
	json_write_init(&j, w);
	json_object_begin(&j);
	json_key_str(&j, "op", c->values ? STR("upsert") : STR("delete"));
	json_key_str(&j, "view", c->view);
	json_key_i64(&j, "version", c->version);
	json_key_str(&j, "key", c->key);
	json_key_u64(&j, "sequence", c->sequence);
	json_key_u64(&j, "previous", c->previous);
	json_key_u64(&j, "index", c->index);
	json_key_u64(&j, "count", c->count);
	json_key(&j, STR("row"));
	if (c->values) {
		struct writer row;
		writer_init(&row, CHANGE_MAX);
		proc_write_json_row(&row, c->columns, c->values, c->column_count);
		json_raw(&j, str_from((const char *)row.ptr, row.len ? row.len - 1 : 0));
		if (row.err && !w->err)
			w->err = row.err;
		writer_release(&row);
	} else {
		json_null(&j);
	}
	json_object_end(&j);
}

/* A key ends the topic at its first zero byte, because the topic does. */
static void tell_change(void *ctx, const struct proc_change *c)
{
	struct serve_feed *f = ctx;
	struct writer topic, payload;
	writer_init(&topic, CHANGE_MAX);
	writer_init(&payload, CHANGE_MAX);
	write_printf(&topic, "view/" STR_FMT "/%d/", STR_ARG(c->view), c->version);
	write_bytes(&topic, bytes_of(c->key.ptr, strnlen(c->key.ptr, c->key.len)));
	write_change(&payload, c);
	if (topic.err == ERR_OK && payload.err == ERR_OK)
		broker_publish(f->serve->broker, str_from((const char *)topic.ptr, topic.len),
		    writer_bytes(&payload));
	writer_release(&topic);
	writer_release(&payload);
}

/* ---- looking --------------------------------------------------------------------------------- */

static struct known *find(struct serve_feed *f, const struct proc_version_status *v)
{
	for (size_t i = 0; i < f->count; i++) {
		struct known *k = &f->known[i];
		if (k->version == v->version && strcmp(k->view, v->view) == 0)
			return k;
	}
	return NULL;
}

static enum err look_at(void *ctx, const struct proc_version_status *v)
{
	struct serve_feed *f = ctx;
	struct known *k = find(f, v);
	if (!k && f->count == KNOWN_MAX)
		return ERR_OK;
	bool changed = !k || k->state != v->state || k->active != v->active;
	if (!k) {
		k = &f->known[f->count++];
		snprintf(k->view, sizeof k->view, "%s", v->view);
		k->version = v->version;
	}
	k->state = v->state;
	k->active = v->active;
	k->seen = true;
	if (changed && f->begun)
		tell_event(f, k, proc_state_name(v->state));
	if (v->state == PROC_REBUILDING)
		tell_progress(f, v);
	return ERR_OK;
}

static void forget_gone(struct serve_feed *f)
{
	size_t kept = 0;
	for (size_t i = 0; i < f->count; i++) {
		struct known k = f->known[i];
		if (!k.seen) {
			k.active = false;
			tell_event(f, &k, "dropped");
			continue;
		}
		k.seen = false;
		f->known[kept++] = k;
	}
	f->count = kept;
}

static void look(struct serve_feed *f)
{
	if (!broker_has_subscribers(f->serve->broker)) {
		f->begun = false;
		f->count = 0;
		return;
	}
	if (proc_versions(f->serve->proc, look_at, f) == ERR_OK)
		forget_gone(f);
	f->begun = true;
	err_clear();
}

static void feed_main(void *arg)
{
	struct serve_feed *f = arg;
	mutex_lock(&f->mutex);
	while (!f->closing) {
		cond_wait_for(&f->tick, &f->mutex, S_NS);
		mutex_unlock(&f->mutex);
		look(f);
		mutex_lock(&f->mutex);
	}
	mutex_unlock(&f->mutex);
}

enum err serve_feed_open(struct serve *s)
{
	if (!broker_native_feeds(s->broker))
		return ERR_OK;
	struct serve_feed *f = mem_calloc(1, sizeof *f);
	if (!f)
		return ERR_NOMEM;
	s->feed = f;
	f->serve = s;
	mutex_init(&f->mutex);
	cond_init(&f->tick);
	f->known = mem_calloc(KNOWN_MAX, sizeof *f->known);
	if (!f->known)
		return ERR_NOMEM;
	f->watch = (struct proc_watch){f, changes_wanted, tell_change};
	proc_set_watch(s->proc, &f->watch);
	return thread_start(&f->thread, "kappa-feed", feed_main, f);
}

void serve_feed_close(struct serve *s)
{
	struct serve_feed *f = s->feed;
	if (!f)
		return;
	proc_set_watch(s->proc, NULL);
	mutex_lock(&f->mutex);
	f->closing = true;
	cond_signal(&f->tick);
	mutex_unlock(&f->mutex);
	thread_join(&f->thread);
	cond_release(&f->tick);
	mutex_release(&f->mutex);
	mem_free(f->known);
	mem_free(f);
	s->feed = NULL;
}
