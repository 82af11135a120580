/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who can log in: credentials by user and mechanism. The truth is the internal topic __kappa_users,
 * which clients cannot read. Thread: the loop's.
 *
 * Key: version u8 = 0, mechanism u8, name. Value: version u8 = 0, iterations u32, salt length u8,
 * salt, stored key, server key (both as long as the mechanism's hash); big-endian. The row of
 * mechanism 0 without name holds 32 random bytes, from which the salts of unknown users are made.
 */
#include "broker/auth/scram.h"
#include "log/log.h"

enum { USERS_MAX = 20000, USERS_SECRET_BYTES = 32 };
#define USERS_TOPIC STR("__kappa_users")

struct user {
	struct scram_credential credential;
	char name[];
};
struct users {
	struct log_table *table;
	struct user **at; /* by name, then mechanism */
	size_t count, capacity;
	uint8_t secret[USERS_SECRET_BYTES];
	bool has_secret;
};
/* Reads the table; blocks. */
MUST_USE enum err users_open(struct users *users, struct log *log);
/* Once, before somebody can ask for a user that does not exist; blocks. */
MUST_USE enum err users_make_secret(struct users *users, struct io *io);
/* Of one that was never opened too. */
void users_close(struct users *users);

/* NULL: nobody has that name, or not by this mechanism. */
const struct user *users_find(
    const struct users *users, struct str name, enum scram_mechanism mechanism);
/* Where the credentials of `name` begin in `at`, or would. */
size_t users_first(const struct users *users, struct str name);
/* A credential for a user that does not exist: always the same one for a name, and no password
 * fits. */
void users_invent(const struct users *users, struct str name, enum scram_mechanism mechanism,
    struct scram_credential *ret_credential);

/* UNACCEPTABLE_CREDENTIAL or SASL_MECHANISM with a note: not one that can be stored. */
MUST_USE enum err user_check(struct str name, const struct scram_credential *credential);
/* UNACCEPTABLE_CREDENTIAL with a note: a name that is not given to anybody (auth_is_reserved). */
MUST_USE enum err user_check_name(struct str name);
void user_row_key(struct writer *w, struct str name, enum scram_mechanism mechanism);
void user_row_value(struct writer *w, const struct scram_credential *credential);
