/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who may do what, and who there is (users.h). The truth is the internal topics __kappa_acls and
 * __kappa_users; what is in memory was made by reading them.
 *
 * Principals are "User:NAME"; a connection that did not authenticate is User:ANONYMOUS. Super users
 * may do everything. Else the access lists decide (acl.h); a resource that no entry speaks of is
 * open where nobody has to authenticate, and closed where somebody has to.
 *
 * Invariants
 *   A1 an entry counts when it is durable, and then for the next check: nothing caches verdicts but
 *      what the patterns of consumer groups find, and they look again when acls_version is another
 *   A2 an api without a row in access.c is for super users as soon as anything is restricted
 *   A3 an error on the way to a verdict is a refusal
 *
 * Thread: the loop's.
 */
#include "broker/auth/acl.h"
#include "broker/auth/users.h"
#include "log/log.h"

struct auth_options {
	bool authenticated;  /* clients have to say who they are */
	int allow_if_no_acl; /* allow.everyone.if.no.acl.found: 1, -1 = no, 0 = unless authenticated
	                      */
	const char *super_users; /* "User:a;User:b"; NULL = none */
	struct io *io;           /* for what is random */
};
struct auth {
	struct log *log;
	struct users users;
	struct acl_set acls;
	uint64_t acls_version; /* rises with each change of an entry; counts from each start */
	struct log_table *acl_table;
	char *super_users;
	bool open;                    /* what no entry speaks of is allowed */
	bool authenticated;           /* clients of some listener have to say who they are */
	struct shared_u64 restricted; /* auth_restricts, for other threads */
};
#define AUTH_ANONYMOUS STR("User:ANONYMOUS")
/* Names that mean those who did not say who they are, and everybody: nobody proves to be them. */
static inline bool auth_is_reserved(struct str principal)
{
	return str_equal(principal, AUTH_ANONYMOUS) || str_equal(principal, ACL_EVERYBODY);
}

/* Reads the tables; blocks. INVALID (super_users) and the errors of log_table_open. */
MUST_USE enum err auth_open(
    struct log *log, const struct auth_options *options, struct auth **ret_auth);
void auth_close(struct auth *auth);

bool auth_is_super(const struct auth *auth, struct str principal);
/* Whether some request may be refused at all: else nobody needs to look. */
static inline bool auth_restricts(const struct auth *auth)
{
	return !auth->open || auth->acls.count > 0;
}
bool auth_allows(const struct auth *auth, const struct acl_query *query);
/* Whether `query` is allowed for some resource of its type. */
bool auth_allows_some(const struct auth *auth, const struct acl_query *query);

/*
 * Who looks at topics, as text that can be kept: "" sees all there are. Else the address that its
 * entries may be for (empty where no entry is for one host alone), a line feed, the principal.
 */
bool auth_sees(const struct auth *auth, struct str viewer, struct str topic);

/* ---- rows of __kappa_acls -------------------------------------------------------------------- */
/*
 * Key: version u8 = 0, resource u8, pattern u8, operation u8, permission u8, then name, principal,
 * host, each u16 length and bytes (big-endian). Value: version u8 = 0. A tombstone removes.
 */
void acl_row_key(struct writer *w, const struct acl *acl);
/* Borrows from `key`. CORRUPT. */
MUST_USE enum err acl_row_read(struct bytes key, struct acl *ret_acl);
struct bytes acl_row_value(void);
