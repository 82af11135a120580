/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one who creates, grows, trims and deletes topics, one request at a time, and asks what there
 * is; and a stranger who sends what is no request.
 */
#include "test/lib/xmalloc.h"
#include "test/sim/world.h"

#include <stdio.h>

enum {
	OFFSET_OUT_OF_RANGE = 1,
	CORRUPT_MESSAGE = 2,
	AGAIN = 7,
	TOPIC_EXISTS = 36,
	STORAGE = 56,
	ALL_PARTITIONS = 4,
	CONFIGS_MAX = 10
};

struct admin {
	struct world *w;
	struct wire wire, stranger;
	struct loop_timer tick;
	struct wire_call call;
	bool busy, looked; /* the last life: the list of topics was seen once more */
	char name[16];     /* what the request is about */
	uint32_t topic;
	int32_t partition, count;
	int64_t offset, before;
	uint64_t segment_bytes, segment_bytes_sent; /* of t0: as answered; asked for, 0 = nothing */
};

static void again(struct admin *a, int64_t ns)
{
	if (!a->w->stopping)
		loop_timer_set(a->w->loop, &a->tick, loop_now_ns(a->w->loop) + ns);
}

static void ask(struct admin *a, int16_t key, int16_t version, const void *body,
    void (*done)(struct wire_call *))
{
	a->busy = true;
	a->call = (struct wire_call){.key = key, .version = version, .done = done};
	wire_send(&a->wire, &a->call, body);
}

/* An answer with an error that has no reason. */
static void check_error(struct admin *a, const char *what, int16_t code)
{
	bool trouble = a->w->faulty || a->w->scarce;
	trace(a->w, "admin", "%s %s: error %d", what, a->name, code);
	if (code != 0 && code != AGAIN && !trouble)
		violated("refused", "%s %s: error %d", what, a->name, code);
}

static struct admin *answered(struct wire_call *call)
{
	struct admin *a = CONTAINER_OF(call, struct admin, call);
	a->busy = false;
	return a;
}

/* ---- topics ---------------------------------------------------------------------------------- */

static void created(struct wire_call *call)
{
	struct admin *a = answered(call);
	const struct create_topics_response *r = call->response;
	if (!r)
		return;
	if (r->topics.at[0].error_code == 0)
		(void)model_topic_seen(
		    &a->w->model, str_of(a->name), r->topics.at[0].topic_id, a->count);
	if (r->topics.at[0].error_code != TOPIC_EXISTS)
		check_error(a, "create", r->topics.at[0].error_code);
}

static struct create_topics_request_config number_config(
    const char *key, int64_t value, char text[24])
{
	int len = snprintf(text, 24, "%lld", (long long)value);
	return (struct create_topics_request_config){str_of(key), str_from(text, (size_t)len)};
}

/* What the plan makes of topics of this name. */
static uint32_t add_role(struct world *w, const char *name,
    struct create_topics_request_config *config, uint32_t n, char numbers[CONFIGS_MAX][24])
{
	const struct world_plan *p = &w->plan;
	int codec = p->codec[name[1] - '0'];
	bool expires = world_is(p->expires, name);
	if (codec > 0)
		config[n++] = (struct create_topics_request_config){
		    STR("compression.type"), str_of(batch_codec_name(codec))};
	if (world_is(p->keyed, name)) {
		config[n++] =
		    (struct create_topics_request_config){STR("cleanup.policy"), STR("compact")};
		config[n++] = (struct create_topics_request_config){
		    STR("min.cleanable.dirty.ratio"), chance(w, 50) ? STR("0") : STR("0.5")};
		config[n] = number_config("delete.retention.ms", p->tombstones_ms, numbers[n]);
		n++;
	}
	config[n] = number_config("retention.ms", expires ? p->retention_ms : -1, numbers[n]);
	n++;
	if (expires) {
		config[n] = number_config("retention.bytes", p->retention_bytes, numbers[n]);
		n++;
	}
	ASSERT(n <= CONFIGS_MAX);
	return n;
}

static void create(struct admin *a, const char *name)
{
	struct world *w = a->w;
	char bytes[24];
	char numbers[CONFIGS_MAX][24];
	struct create_topics_request_config config[CONFIGS_MAX] = {
	    {STR("segment.bytes"), str_from(bytes, 0)},
	    /* a clock that jumps back leaves records in the future */
	    {STR("message.timestamp.after.max.ms"), STR("9223372036854775807")},
	};
	uint32_t configs = 2;
	config[0].value.len = (size_t)snprintf(
	    bytes, sizeof(bytes), "%llu", (unsigned long long)w->plan.segment_bytes);
	if (chance(w, 30))
		config[configs++] = (struct create_topics_request_config){
		    STR("message.timestamp.type"), STR("LogAppendTime")};
	if (world_is_lazy(w, name))
		config[configs++] = (struct create_topics_request_config){
		    STR("kappa.durability"), chance(w, 50) ? STR("none") : STR("interval")};
	configs = add_role(w, name, config, configs, numbers);
	a->count = 1 + (int32_t)below(w, 3);
	struct create_topics_request_topic t = {.name = str_of(name),
	    .num_partitions = a->count,
	    .replication_factor = 1,
	    .configs = {config, configs}};
	struct create_topics_request body = {.topics = {&t, 1}, .timeout_ms = 5000};
	snprintf(a->name, sizeof(a->name), "%s", name);
	model_create_sent(&w->model, name);
	trace(w, "admin", "creates %s with %d partitions", name, a->count);
	ask(a, API_CREATE_TOPICS, 7, &body, created);
}

static void deleted(struct wire_call *call)
{
	struct admin *a = answered(call);
	const struct delete_topics_response *r = call->response;
	if (!r)
		return;
	if (r->responses.at[0].error_code == 0)
		model_topic_deleted(&a->w->model, a->topic);
	else if (r->responses.at[0].error_code != 3 && r->responses.at[0].error_code != 100)
		check_error(a, "delete", r->responses.at[0].error_code);
}

static void delete_topic(struct admin *a, uint32_t topic)
{
	struct world *w = a->w;
	struct model_topic *t = &w->model.topic[topic];
	struct delete_topics_request_topic one = {.topic_id = t->id};
	struct delete_topics_request body = {.topics = {&one, 1}, .timeout_ms = 5000};
	snprintf(a->name, sizeof(a->name), "%s", t->name);
	a->topic = topic;
	t->delete_sent = true;
	trace(w, "admin", "deletes %s", t->name);
	ask(a, API_DELETE_TOPICS, 6, &body, deleted);
}

static void grown(struct wire_call *call)
{
	struct admin *a = answered(call);
	const struct create_partitions_response *r = call->response;
	if (!r)
		return;
	if (r->results.at[0].error_code == 0)
		a->w->model.topic[a->topic].partitions = a->count;
	else if (r->results.at[0].error_code != 37) /* an earlier attempt did it */
		check_error(a, "grow", r->results.at[0].error_code);
}

static void grow(struct admin *a, uint32_t topic)
{
	struct world *w = a->w;
	struct model_topic *t = &w->model.topic[topic];
	a->count = t->partitions_asked > t->partitions ? t->partitions_asked : t->partitions + 1;
	struct create_partitions_request_topic one = {.name = str_of(t->name), .count = a->count};
	struct create_partitions_request body = {.topics = {&one, 1}, .timeout_ms = 5000};
	if (a->count > ALL_PARTITIONS)
		return;
	snprintf(a->name, sizeof(a->name), "%s", t->name);
	a->topic = topic;
	t->partitions_asked = a->count;
	trace(w, "admin", "grows %s to %d partitions", t->name, a->count);
	ask(a, API_CREATE_PARTITIONS, 3, &body, grown);
}

static void trimmed(struct wire_call *call)
{
	struct admin *a = answered(call);
	const struct delete_records_response *r = call->response;
	if (!r)
		return;
	const struct delete_records_response_partition *p = &r->topics.at[0].partitions.at[0];
	struct model_topic *t = &a->w->model.topic[a->topic];
	struct model_partition *m = &t->partition[a->partition];
	if (p->error_code != 0) {
		check_error(a, "trim", p->error_code);
		return;
	}
	if (p->low_watermark < a->offset)
		violated("trim", "%s-%d begins at %lld after everything below %lld was deleted",
		    t->name, a->partition, (long long)p->low_watermark, (long long)a->offset);
	if (p->low_watermark > m->start_acked)
		m->start_acked = p->low_watermark;
	model_start(&a->w->model, a->topic, a->partition, p->low_watermark);
}

static void trim(struct admin *a, uint32_t topic)
{
	struct world *w = a->w;
	struct model_topic *t = &w->model.topic[topic];
	a->partition = (int32_t)below(w, (uint64_t)t->partitions);
	struct model_partition *m = &t->partition[a->partition];
	a->offset = (int64_t)below(w, (uint64_t)m->high_watermark + 1);
	struct delete_records_request_partition p = {a->partition, a->offset};
	struct delete_records_request_topic one = {str_of(t->name), {&p, 1}};
	struct delete_records_request body = {.topics = {&one, 1}, .timeout_ms = 5000};
	snprintf(a->name, sizeof(a->name), "%s", t->name);
	a->topic = topic;
	if (a->offset > m->start_asked)
		m->start_asked = a->offset;
	trace(w, "admin", "trims %s-%d to %lld", t->name, a->partition, (long long)a->offset);
	ask(a, API_DELETE_RECORDS, 2, &body, trimmed);
}

/* ---- configuration of t0 --------------------------------------------------------------------- */

static void altered(struct wire_call *call)
{
	struct admin *a = answered(call);
	const struct incremental_alter_configs_response *r = call->response;
	if (!r)
		return;
	if (r->responses.at[0].error_code != 0) {
		check_error(a, "alter", r->responses.at[0].error_code);
		return;
	}
	a->segment_bytes = a->segment_bytes_sent;
	a->segment_bytes_sent = 0;
}

/* What nobody has answered is asked for again, so that two values at most are in doubt. */
static void alter(struct admin *a)
{
	struct world *w = a->w;
	char text[24];
	if (a->segment_bytes_sent == 0)
		a->segment_bytes_sent = 4 * KIB + below(w, 64 * KIB);
	int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)a->segment_bytes_sent);
	struct incremental_alter_configs_request_config config = {
	    .name = STR("segment.bytes"), .value = str_from(text, (size_t)len)};
	struct incremental_alter_configs_request_resource resource = {
	    .resource_type = 2, .resource_name = STR("t0"), .configs = {&config, 1}};
	struct incremental_alter_configs_request body = {.resources = {&resource, 1}};
	snprintf(a->name, sizeof(a->name), "t0");
	trace(w, "admin", "alters t0: segment.bytes=%s", text);
	ask(a, API_INCREMENTAL_ALTER_CONFIGS, 1, &body, altered);
}

static void described(struct wire_call *call)
{
	struct admin *a = answered(call);
	const struct describe_configs_response *r = call->response;
	uint64_t now = 0;
	if (!r || r->results.at[0].error_code != 0)
		return;
	for (uint32_t i = 0; i < r->results.at[0].configs.count; i++) {
		const struct describe_configs_response_config *c = &r->results.at[0].configs.at[i];
		if (str_equal(c->name, STR("segment.bytes")) && !str_to_u64(c->value, &now))
			violated("config", "segment.bytes=" STR_FMT, STR_ARG(c->value));
	}
	if (a->segment_bytes == 0)
		a->segment_bytes = a->w->plan.segment_bytes;
	if (now == a->segment_bytes_sent) { /* it was done, and stays so */
		a->segment_bytes = now;
		a->segment_bytes_sent = 0;
	}
	if (now != a->segment_bytes)
		violated("config", "t0 has segment.bytes=%llu, %llu was answered",
		    (unsigned long long)now, (unsigned long long)a->segment_bytes);
}

static void describe(struct admin *a)
{
	struct describe_configs_request_resource resource = {
	    .resource_type = 2, .resource_name = STR("t0")};
	struct describe_configs_request body = {.resources = {&resource, 1}};
	snprintf(a->name, sizeof(a->name), "t0");
	ask(a, API_DESCRIBE_CONFIGS, 4, &body, described);
}

/* ---- questions ------------------------------------------------------------------------------- */

static void listed(struct wire_call *call)
{
	struct admin *a = answered(call);
	const struct metadata_response *r = call->response;
	struct model *m = &a->w->model;
	if (!r)
		return;
	bool seen[MODEL_TOPICS_MAX] = {false};
	for (uint32_t i = 0; i < r->topics.count; i++) {
		const struct metadata_response_topic *t = &r->topics.at[i];
		if (t->is_internal || t->error_code != 0)
			continue;
		uint32_t n =
		    model_topic_seen(m, t->name, t->topic_id, (int32_t)t->partitions.count);
		seen[n] = true;
	}
	model_topics_end(m, seen);
	a->looked = true;
}

static void list_topics(struct admin *a)
{
	struct metadata_request body;
	msg_init(&metadata_request_shape, &body);
	body.topics.at = NULL;
	body.topics.count = 0;
	snprintf(a->name, sizeof(a->name), "topics");
	ask(a, API_METADATA, 12, &body, listed);
}

static void found(struct wire_call *call)
{
	struct admin *a = answered(call);
	const struct list_offsets_response *r = call->response;
	if (!r)
		return;
	const struct list_offsets_response_partition *p = &r->topics.at[0].partitions.at[0];
	struct model_topic *t = &a->w->model.topic[a->topic];
	if (p->error_code == 3 && t->delete_sent)
		return;
	if (p->error_code == CORRUPT_MESSAGE && model_has_rot(&a->w->model, a->topic, -1))
		return; /* by time: the batch it would be in */
	if (p->error_code != 0)
		check_error(a, "offsets of", p->error_code);
	else if (a->offset == -1)
		model_watermark(&a->w->model, a->topic, a->partition, a->before, p->offset);
	else if (a->offset == -2)
		model_start(&a->w->model, a->topic, a->partition, p->offset);
}

static void list_offsets(struct admin *a, uint32_t topic)
{
	struct world *w = a->w;
	struct model_topic *t = &w->model.topic[topic];
	struct list_offsets_request_partition p;
	struct list_offsets_request_topic one = {str_of(t->name), {&p, 1}};
	struct list_offsets_request body = {.replica_id = -1, .topics = {&one, 1}};
	msg_init(&list_offsets_request_partition_shape, &p);
	p.partition_index = a->partition = (int32_t)below(w, (uint64_t)t->partitions);
	a->offset = p.timestamp = -1 - (int64_t)below(w, 3);
	a->before = t->partition[a->partition].high_watermark;
	a->topic = topic;
	if (chance(w, 30))
		a->offset = p.timestamp =
		    loop_realtime_ns(w->loop) / MS_NS - (int64_t)below(w, 1000);
	snprintf(a->name, sizeof(a->name), "%s", t->name);
	ask(a, API_LIST_OFFSETS, (int16_t)(7 + below(w, 4)), &body, found);
}

static void ignored(struct wire_call *call)
{
	(void)answered(call);
}

/* Requests whose answers only have to come. */
static void ask_about(struct admin *a)
{
	struct world *w = a->w;
	struct str group = STR("g0");
	struct describe_groups_request groups = {.groups = {&group, 1}};
	struct list_groups_request list = {0};
	struct describe_log_dirs_request dirs = {0};
	struct describe_cluster_request cluster;
	msg_init(&describe_cluster_request_shape, &cluster);
	snprintf(a->name, sizeof(a->name), "state");
	switch (below(w, 5)) {
	case 0:
		ask(a, API_DESCRIBE_GROUPS, 5, &groups, ignored);
		break;
	case 1:
		ask(a, API_LIST_GROUPS, 4, &list, ignored);
		break;
	case 2:
		ask(a, API_DESCRIBE_LOG_DIRS, 4, &dirs, ignored);
		break;
	case 3:
		describe(a);
		break;
	default:
		ask(a, API_DESCRIBE_CLUSTER, 0, &cluster, ignored);
	}
}

/* ---- the stranger ---------------------------------------------------------------------------- */

static void disturb(struct admin *a)
{
	struct world *w = a->w;
	uint8_t bytes[200];
	size_t len = 1 + below(w, sizeof(bytes));
	if (wire_is_open(&a->stranger) && chance(w, 40)) {
		wire_close(&a->stranger);
		return;
	}
	if (wire_is_idle(&a->stranger) && !wire_open(&a->stranger))
		return;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)below(w, 256);
	/* often a frame that may be whole, with a request there is */
	if (chance(w, 70) && len > 8) {
		put_u32_be(bytes, (uint32_t)below(w, 300));
		put_u16_be(bytes + 4, (uint16_t)below(w, 48));
		put_u16_be(bytes + 6, (uint16_t)below(w, 14));
	}
	wire_send_raw(&a->stranger, bytes_of(bytes, len));
}

/* ---- steps ----------------------------------------------------------------------------------- */

/* Views must be computable from what is left: their topic stays whole. */
static bool may_trim(const struct world *w, uint32_t topic)
{
	const struct model_topic *t = &w->model.topic[topic];
	bool read_by_views = w->plan.views && strcmp(t->name, "t0") == 0;
	/* a topic that opted out is trimmed no further than to what is durable, a keyed one never
	 */
	bool plain = !world_is(w->plan.lazy | w->plan.keyed | w->plan.expires, t->name);
	return w->plan.trims && !t->delete_sent && !read_by_views && plain;
}

static void act(struct admin *a)
{
	struct world *w = a->w;
	struct model *m = &w->model;
	char name[16];
	snprintf(name, sizeof(name), "t%d", (int)below(w, WORLD_TOPICS));
	uint32_t topic = model_topic_named(m, "t0");
	if (topic == UINT32_MAX)
		snprintf(name, sizeof(name), "t0");
	else
		topic = model_topic_named(m, name);
	uint64_t dice = below(w, 100);
	if (chance(w, w->plan.alters) && model_topic_named(m, "t0") != UINT32_MAX) {
		alter(a);
		return;
	}
	if (topic == UINT32_MAX && m->topic_count + 2 < MODEL_TOPICS_MAX)
		chance(w, 60) ? create(a, name) : list_topics(a);
	else if (topic == UINT32_MAX || dice < 15)
		list_topics(a);
	else if (dice < 25 && w->plan.deletions && name[1] != '0')
		delete_topic(a, topic);
	else if (dice < 35 && may_trim(w, topic))
		trim(a, topic);
	else if (dice < 40 && w->plan.partitions_grow && !m->topic[topic].delete_sent)
		grow(a, topic);
	else if (dice < 80)
		list_offsets(a, topic);
	else
		ask_about(a);
}

static void step(struct loop_timer *timer)
{
	struct admin *a = CONTAINER_OF(timer, struct admin, tick);
	struct world *w = a->w;
	bool young = w->model.topic_count == 0;
	if (w->stopping)
		return;
	again(a, young ? MS_NS : (int64_t)below(w, 30) * MS_NS + MS_NS);
	if (w->plan.stranger && !w->last_life && chance(w, 30))
		disturb(a);
	if (wire_is_idle(&a->wire) && !wire_open(&a->wire))
		return;
	if (!wire_is_open(&a->wire) || a->busy)
		return;
	if (w->last_life)
		list_topics(a);
	else
		act(a);
	if (!w->last_life && chance(w, w->plan.break_percent))
		sim_io_break(w->io, a->wire.fd);
}

static void down(struct wire *wire)
{
	struct admin *a = CONTAINER_OF(wire, struct admin, wire);
	again(a, MS_NS);
}

static void stranger_down(struct wire *wire)
{
	(void)wire;
}

void admin_new(struct world *w)
{
	struct admin *a = xcalloc(1, sizeof(*a));
	a->w = w;
	wire_init(&a->wire, w, "admin", down);
	wire_init(&a->stranger, w, "stranger", stranger_down);
	w->admin = a;
}

void admin_start(struct admin *a)
{
	loop_timer_init(&a->tick, step);
	a->looked = false;
	again(a, US_NS);
}

void admin_stop(struct admin *a)
{
	loop_timer_cancel(a->w->loop, &a->tick);
	wire_close(&a->wire);
	wire_close(&a->stranger);
}

bool admin_is_resting(const struct admin *a)
{
	return wire_is_idle(&a->wire) && wire_is_idle(&a->stranger);
}

bool admin_is_done(const struct admin *a)
{
	return a->looked && !a->busy;
}

void admin_free(struct admin *a)
{
	wire_release(&a->wire);
	wire_release(&a->stranger);
	free(a);
}
