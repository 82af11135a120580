/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeLogDirs: how many bytes each partition takes. There is one directory. */
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
	if (ok)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}
