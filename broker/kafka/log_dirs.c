/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DescribeLogDirs: how many bytes each partition takes. There is one directory. What its file
 * system has (KIP-827) is asked for on the service pool: a slow one does not hold up the loop.
 */
#include "broker/kafka/handlers.h"

static bool fill_topic(struct request *req, const struct log_topic *t,
    const struct describe_log_dirs_request_topic *asked,
    struct describe_log_dirs_response_topic *out)
{
	uint32_t count = asked ? asked->partitions.count : (uint32_t)t->partition_count;
	out->name = t->name;
	out->partitions.at = request_new(req, &describe_log_dirs_response_partition_shape, count);
	if (!out->partitions.at)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		int32_t index = asked ? asked->partitions.at[i] : (int32_t)i;
		struct log_partition *p = log_partition_find(req->log, t, index);
		struct log_partition_status s;
		if (!p)
			continue;
		log_partition_status(p, &s);
		struct describe_log_dirs_response_partition *part =
		    &out->partitions.at[out->partitions.count++];
		part->partition_index = index;
		part->partition_size = (int64_t)s.size_bytes;
	}
	return true;
}

static bool fill_asked(struct request *req, struct describe_log_dirs_response_result *dir)
{
	const struct describe_log_dirs_request *body = req->body;
	dir->topics.at =
	    request_new(req, &describe_log_dirs_response_topic_shape, body->topics.count);
	for (uint32_t i = 0; dir->topics.at && i < body->topics.count; i++) {
		const struct log_topic *t = log_topic_find(req->log, body->topics.at[i].topic);
		if (!t)
			continue;
		if (!fill_topic(req, t, &body->topics.at[i], &dir->topics.at[dir->topics.count++]))
			return false;
	}
	return dir->topics.at != NULL;
}

static bool fill_all(struct request *req, struct describe_log_dirs_response_result *dir)
{
	size_t count = log_topic_count(req->log), cursor = 0;
	const struct log_topic *t;
	dir->topics.at = request_new(req, &describe_log_dirs_response_topic_shape, count);
	while (dir->topics.at && dir->topics.count < count &&
	       (t = log_topic_next(req->log, &cursor))) {
		if (!fill_topic(req, t, NULL, &dir->topics.at[dir->topics.count++]))
			return false;
	}
	return dir->topics.at != NULL;
}

struct space {
	struct request *req;
	struct log *log;
	struct pool_job job;
	uint64_t free, total;
	enum err err;
};

static int64_t bytes_told(uint64_t bytes)
{
	return bytes < INT64_MAX ? (int64_t)bytes : INT64_MAX;
}

static void on_pool(struct pool_job *job)
{
	struct space *s = CONTAINER_OF(job, struct space, job);
	s->err = log_space(s->log, &s->free, &s->total);
	err_clear();
}

static void on_space(struct pool_job *job)
{
	struct space *s = CONTAINER_OF(job, struct space, job);
	struct describe_log_dirs_response *r = s->req->response;
	if (s->err == ERR_OK) { /* else it is not known, as before version 4: -1 */
		r->results.at[0].total_bytes = bytes_told(s->total);
		r->results.at[0].usable_bytes = bytes_told(s->free);
	}
	request_answer(s->req);
}

/* False: it is answered without. */
static bool ask_space(struct request *req)
{
	struct space *s = req->version >= 4 ? request_alloc(req, sizeof(*s)) : NULL;
	if (!s)
		return false;
	s->req = req;
	s->log = req->log;
	s->job.run = on_pool;
	s->job.done = on_space;
	return pool_submit(req->loop, &s->job) == ERR_OK;
}

void handle_describe_log_dirs(struct request *req)
{
	const struct describe_log_dirs_request *body = req->body;
	struct describe_log_dirs_response *r = req->response;
	const char *name = req->broker->options.data_dir;
	r->results.at = request_new(req, &describe_log_dirs_response_result_shape, 1);
	bool ok = r->results.at != NULL;
	if (ok) {
		r->results.count = 1;
		r->results.at[0].log_dir = str_of(name ? name : "data");
		ok = body->topics.at ? fill_asked(req, &r->results.at[0])
		                     : fill_all(req, &r->results.at[0]);
	}
	if (!ok)
		request_fail(req, ERR_LIMIT);
	else if (!ask_space(req))
		request_answer(req);
}
