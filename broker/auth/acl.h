/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Access lists as a pure data structure: entries in order, and the verdict over them. Nothing here
 * knows of tables, connections or requests. The numbers are Kafka's, on the wire and on disk.
 */
#include "log/base/base.h"

enum acl_resource {
	ACL_RESOURCE_ANY = 1, /* in filters only, like all _ANY */
	ACL_TOPIC,
	ACL_GROUP,
	ACL_CLUSTER,
	ACL_TRANSACTIONAL_ID,
};
enum acl_pattern { ACL_PATTERN_ANY = 1, ACL_PATTERN_MATCH, ACL_LITERAL, ACL_PREFIXED };
enum acl_operation {
	ACL_OPERATION_ANY = 1,
	ACL_ALL,
	ACL_READ,
	ACL_WRITE,
	ACL_CREATE,
	ACL_DELETE,
	ACL_ALTER,
	ACL_DESCRIBE,
	ACL_CLUSTER_ACTION,
	ACL_DESCRIBE_CONFIGS,
	ACL_ALTER_CONFIGS,
	ACL_IDEMPOTENT_WRITE,
};
enum acl_permission { ACL_PERMISSION_ANY = 1, ACL_DENY, ACL_ALLOW };
#define ACL_CLUSTER_NAME STR("kafka-cluster")
#define ACL_EVERYBODY    STR("User:*")

enum { ACLS_MAX = 20000, ACL_STRING_MAX = 4096, ACL_HOST_MAX = 48 };

struct acl {
	uint8_t resource, pattern, operation, permission;
	struct str name;      /* of the resource, or the prefix; "*" literal: every resource */
	struct str principal; /* "User:alice", "User:*" */
	struct str host;      /* "*" or an address */
	struct str address;   /* in a set: `host` as acl_host_read makes it; NULL: it is none */
};
/* INVALID_REQUEST with a note: not an entry that can be stored. */
MUST_USE enum err acl_check(const struct acl *acl);
/*
 * "*", or an address in the one spelling that connections have ("::1" for 0:0:0:0:0:0:0:1, IPv4 for
 * what is mapped into IPv6); *ret_host is in `text`. INVALID_REQUEST with a note: it is none.
 */
MUST_USE enum err acl_host_read(struct str host, char text[ACL_HOST_MAX], struct str *ret_host);

/* What DescribeAcls and DeleteAcls ask for; strings with ptr NULL match everything. */
struct acl_filter {
	uint8_t resource, pattern, operation, permission;
	struct str name, principal, host;
};
MUST_USE enum err acl_filter_check(const struct acl_filter *filter);
bool acl_filter_matches(const struct acl_filter *filter, const struct acl *acl);

/* In order of resource, pattern, name; then of the rest. */
struct acl_set {
	struct acl **at; /* each with its strings behind it */
	size_t count, capacity;
	size_t hosts; /* of them: for one host alone */
};
void acl_set_release(struct acl_set *set);
/*
 * Copies. One that is there already is no error. An entry of before acl_host_read whose host is no
 * address denies everybody, or allows nobody. NOMEM, LIMIT.
 */
MUST_USE enum err acl_set_add(struct acl_set *set, const struct acl *acl);
void acl_set_remove(struct acl_set *set, const struct acl *acl);

/* Where in the set what the filter takes can be: so many from *ret_first on. */
size_t acl_set_range(const struct acl_set *set, const struct acl_filter *filter, size_t *ret_first);

struct acl_query {
	struct str principal, host;
	enum acl_operation operation;
	enum acl_resource resource;
	struct str name;
};
/*
 * ACL_DENY wins over ACL_ALLOW, whatever the patterns. ACL_VERDICT_NONE: no entry speaks of the
 * resource at all; entries that speak of it, but not for this principal, mean ACL_DENY.
 */
enum acl_verdict { ACL_VERDICT_NONE, ACL_VERDICT_DENY, ACL_VERDICT_ALLOW };
enum acl_verdict acl_set_judge(const struct acl_set *set, const struct acl_query *query);
/* Whether an entry allows `query` for some resource of that type (its name is ignored). */
bool acl_set_allows_some(const struct acl_set *set, const struct acl_query *query);
