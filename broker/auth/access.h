/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Requests before the access lists. access.c has the table: for each api, which operation it is on
 * the topics, the group, the transactional id and the cluster it touches. What the table can settle
 * alone is settled before the handler runs; for the rest handlers ask access_topic and the like
 * (topic_named does so itself). Thread: the loop's.
 */
#include "broker/auth/acl.h"
#include "broker/kafka/request.h"

/*
 * ERR_OK: the handler may run. ERR_CANCELLED: refused and answered. ERR_PERMISSION: the api is in
 * no table, the connection has to go.
 */
MUST_USE enum err access_admit(struct request *req);

/* May the client do what this api does with that resource? TOPIC_DENIED, GROUP_DENIED,
 * TRANSACTIONAL_ID, CLUSTER_DENIED. */
MUST_USE enum err access_topic(const struct request *req, struct str name);
MUST_USE enum err access_group(const struct request *req, struct str name);
MUST_USE enum err access_transactional_id(const struct request *req, struct str name);
MUST_USE enum err access_cluster(const struct request *req);

/* Who asks, for auth_sees; in the request's arena. ptr NULL: no memory. */
struct str access_viewer(struct request *req);

/* The same for an operation that is not the api's own. */
bool access_allows(const struct request *req, enum acl_operation operation,
    enum acl_resource resource, struct str name);
/* For some resource of that type. */
bool access_allows_some(
    const struct request *req, enum acl_operation operation, enum acl_resource resource);
/* Of `operations`, one bit each, those the client may do. */
int32_t access_operations(
    const struct request *req, enum acl_resource resource, struct str name, int32_t operations);
