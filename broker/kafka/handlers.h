/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The handlers of this folder, one per api, and what they share. Each fills in req->response and
 * answers (request.h). The coordinator's handlers are in groups.h.
 */
#include "broker/kafka/server.h"

void handle_api_versions(struct request *req);
void handle_update_features(struct request *req);
void handle_metadata(struct request *req);
void handle_produce(struct request *req);
void handle_fetch(struct request *req);
void handle_list_offsets(struct request *req);
void handle_offset_for_leader_epoch(struct request *req);
void handle_init_producer_id(struct request *req);
void handle_find_coordinator(struct request *req);
void handle_describe_cluster(struct request *req);
void handle_create_topics(struct request *req);
void handle_delete_topics(struct request *req);
void handle_create_partitions(struct request *req);
void handle_describe_configs(struct request *req);
void handle_alter_configs(struct request *req);
void handle_incremental_alter_configs(struct request *req);
void handle_delete_records(struct request *req);
void handle_list_config_resources(struct request *req);
void handle_describe_log_dirs(struct request *req);
void handle_describe_topic_partitions(struct request *req);
void handle_elect_leaders(struct request *req);
void handle_alter_partition_reassignments(struct request *req);
void handle_list_partition_reassignments(struct request *req);

/* Operations as Kafka's AclOperation numbers them, one bit each; "not asked for" is INT32_MIN. */
enum {
	OPERATIONS_TOPIC = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11,
	OPERATIONS_CLUSTER = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12,
	OPERATIONS_GROUP = 1 << 3 | 1 << 6 | 1 << 8,
};
/* Kafka's ConfigResource.Type */
enum {
	RESOURCE_TOPIC = 2,
	RESOURCE_BROKER = 4,
	RESOURCE_BROKER_LOGGER = 8,
	RESOURCE_CLIENT_METRICS = 16,
	RESOURCE_GROUP = 32
};
/* Kafka's DescribeConfigsResponse.ConfigSource */
enum {
	CONFIG_SOURCE_TOPIC = 1,
	CONFIG_SOURCE_SET_BROKER = 2,
	CONFIG_SOURCE_SET_BROKERS = 3,
	CONFIG_SOURCE_BROKER = 4,
	CONFIG_SOURCE_DEFAULT = 5,
	CONFIG_SOURCE_GROUP = 8
};

/*
 * Words that a request asks for, as long a list as it likes: of those that occur here each is
 * looked for once. Zeroed but for the first three; an empty list asks for all of them.
 */
enum { ASKED_WORDS_KNOWN = 16 };
struct asked_words {
	const struct str *at;
	uint32_t count;
	bool any_case;
	uint32_t known;
	struct {
		const char *word;
		bool asked;
	} memo[ASKED_WORDS_KNOWN];
};
/* Whether it is asked for; `word` is known again by its address. */
bool asked_word(struct asked_words *asked, const char *word);

/* Where the client of `req` reaches this broker. The host lives as long as the request. */
struct endpoint {
	struct str host;
	int32_t port;
};
struct endpoint request_endpoint(const struct request *req);

/* ---- brokers as clients see them (nodes.c) --------------------------------------------------- */
struct node {
	int32_t id;
	struct endpoint endpoint;
};
struct nodes {
	uint32_t count; /* 1, but for test suites */
	struct node *at;
	int32_t *ring; /* their ids, twice over */
};
/* All of them; they live as long as the request. False: no memory. */
MUST_USE bool request_nodes(struct request *req, struct nodes *ret_nodes);
/* How many there are. */
uint32_t request_node_count(const struct request *req);
/*
 * Whether copies may be asked for on these brokers: INVALID_ASSIGNMENT where there are several and
 * one of these is not among them. A single one takes what was meant for a cluster.
 */
MUST_USE enum err request_check_brokers(
    const struct request *req, const int32_t *ids, uint32_t count);
/* The one that the client of `req` is connected to. */
int32_t request_node(const struct request *req);
/* `count` ids: the brokers with a copy of a partition, its leader first. */
int32_t *nodes_copies(const struct nodes *n, const struct log_topic *t, int32_t partition);
/* The coordinator of a group or a transactional id. */
const struct node *nodes_coordinator(const struct nodes *n, struct str key);
/* Whether that is the one the client of `req` is connected to. */
bool request_coordinates(const struct request *req, struct str key);

/* ---- shared ---------------------------------------------------------------------------------- */
struct str broker_cluster_id(const struct broker *b);

/*
 * The topic a request names: by id where `id` is not zero, else by name. NULL with *ret_err
 * UNKNOWN_TOPIC_ID or UNKNOWN_TOPIC (ERR_INVALID_TOPIC for a name no topic can have).
 */
const struct log_topic *topic_named(
    const struct request *req, struct str name, struct log_uuid id, enum err *ret_err);
/* Whether a resource of type broker has that name; empty: all of them. */
bool request_names_broker(const struct request *req, struct str name);
/* Whether DescribeConfigs tells of a setting of that name of the broker. */
bool broker_setting_exists(const struct request *req, struct str key);
/* `list` with the elements of `change` appended (each once) or taken out, in the request's arena.
 */
MUST_USE enum err config_list_edit(
    struct request *req, struct str list, struct str change, bool append, struct str *ret_list);
/* The message for an error, made of its text and the chain's context. */
struct str request_error_text(struct request *req, enum err err);
