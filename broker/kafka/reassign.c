/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments: what administrators and
 * their tools ask about leaders and copies. Each partition is led where its copies are and stays
 * there, so no election is needed, nothing is ever being moved, and a partition can be reassigned
 * to nothing but what it has.
 */
#include "broker/auth/access.h"
#include "broker/kafka/handlers.h"

enum { ELECT_PREFERRED, ELECT_UNCLEAN };
/* of Kafka, met only here */
enum { ELECTION_NOT_NEEDED = 84, NO_REASSIGNMENT_IN_PROGRESS = 85 };

/* What is wrong with naming this partition; who gets here may know of every topic. */
static enum err partition_error(const struct request *req, struct str name, int32_t partition)
{
	const struct log_topic *t = log_topic_find(req->log, name);
	if (!t)
		return ERR_UNKNOWN_TOPIC;
	if (partition < 0 || partition >= t->partition_count)
		return err_note(ERR_UNKNOWN_TOPIC, "no partition %d", partition);
	return ERR_OK;
}

/* ---- ElectLeaders ---------------------------------------------------------------------------- */

static bool elect_topic(struct request *req, enum err refused,
    const struct elect_leaders_request_topic *asked, struct elect_leaders_response_topic *out)
{
	uint32_t count = asked->partitions.count;
	out->topic = asked->topic;
	out->partition_results.at =
	    request_new(req, &elect_leaders_response_partition_shape, count);
	if (!out->partition_results.at)
		return false;
	out->partition_results.count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct elect_leaders_response_partition *p = &out->partition_results.at[i];
		p->partition_id = asked->partitions.at[i];
		enum err err = refused != ERR_OK
		                   ? refused
		                   : partition_error(req, asked->topic, p->partition_id);
		p->error_code = err == ERR_OK ? ELECTION_NOT_NEEDED : err_kafka(err);
		p->error_message = err == ERR_OK ? STR("its leader is the one it has to have")
		                                 : request_error_text(req, err);
		err_clear();
	}
	return true;
}

/* Of all partitions at once only those are told that got another leader: none. */
void handle_elect_leaders(struct request *req)
{
	const struct elect_leaders_request *body = req->body;
	struct elect_leaders_response *r = req->response;
	uint32_t count = body->topic_partitions.count;
	enum err refused = access_cluster(req);
	err_clear();
	if (refused == ERR_OK && body->election_type != ELECT_PREFERRED &&
	    body->election_type != ELECT_UNCLEAN)
		refused = ERR_INVALID_REQUEST;
	r->error_code = err_kafka(refused);
	r->replica_election_results.at =
	    request_new(req, &elect_leaders_response_topic_shape, count);
	bool ok = r->replica_election_results.at != NULL;
	for (uint32_t i = 0; ok && i < count; i++)
		ok = elect_topic(req, refused, &body->topic_partitions.at[i],
		    &r->replica_election_results.at[r->replica_election_results.count++]);
	if (ok)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}

/* ---- reassignment ---------------------------------------------------------------------------- */

/* Whether the list names every broker with a copy once, in whatever order. */
static bool are_the_copies(
    const struct nodes *nodes, const struct alter_partition_reassignments_request_partition *asked)
{
	for (uint32_t n = 0; n < nodes->count; n++) {
		uint32_t found = 0;
		for (uint32_t i = 0; i < asked->replicas.count; i++)
			found += asked->replicas.at[i] == nodes->at[n].id;
		if (found != 1)
			return false;
	}
	return asked->replicas.count == nodes->count;
}

static void reassign(struct request *req, const struct nodes *nodes, struct str topic,
    const struct alter_partition_reassignments_request_partition *asked,
    struct alter_partition_reassignments_response_partition *out)
{
	enum err err = partition_error(req, topic, asked->partition_index);
	out->partition_index = asked->partition_index;
	if (err != ERR_OK) {
		out->error_code = err_kafka(err);
		out->error_message = request_error_text(req, err);
		err_clear();
	} else if (!asked->replicas.at) {
		out->error_code = NO_REASSIGNMENT_IN_PROGRESS;
		out->error_message = STR("nothing is being moved");
	} else if (!are_the_copies(nodes, asked)) {
		out->error_code = err_kafka(ERR_INVALID_ASSIGNMENT);
		out->error_message = STR("a partition stays on the brokers that it is on");
	}
}

static bool reassign_topic(struct request *req, const struct nodes *nodes,
    const struct alter_partition_reassignments_request_topic *asked,
    struct alter_partition_reassignments_response_topic *out)
{
	uint32_t count = asked->partitions.count;
	out->name = asked->name;
	out->partitions.at =
	    request_new(req, &alter_partition_reassignments_response_partition_shape, count);
	if (!out->partitions.at)
		return false;
	out->partitions.count = count;
	for (uint32_t i = 0; i < count; i++)
		reassign(req, nodes, asked->name, &asked->partitions.at[i], &out->partitions.at[i]);
	return true;
}

void handle_alter_partition_reassignments(struct request *req)
{
	const struct alter_partition_reassignments_request *body = req->body;
	struct alter_partition_reassignments_response *r = req->response;
	uint32_t count = body->topics.count;
	struct nodes nodes;
	r->allow_replication_factor_change = body->allow_replication_factor_change;
	r->responses.at =
	    request_new(req, &alter_partition_reassignments_response_topic_shape, count);
	bool ok = r->responses.at && request_nodes(req, &nodes);
	for (uint32_t i = 0; ok && i < count; i++)
		ok = reassign_topic(
		    req, &nodes, &body->topics.at[i], &r->responses.at[r->responses.count++]);
	if (ok)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}

void handle_list_partition_reassignments(struct request *req)
{
	struct list_partition_reassignments_response *r = req->response;
	r->topics.at = request_new(req, &list_partition_reassignments_response_topic_shape, 0);
	if (r->topics.at)
		request_answer(req);
	else
		request_fail(req, ERR_LIMIT);
}
