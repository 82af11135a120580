/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How much a client may have per second: bytes produced and fetched, time on the loop, changes of
 * topics. The truth is the internal topic __kappa_quotas; what is in memory was made by reading it.
 *
 * A quota stands at an entity: a user, a client id, or both, each by name or as the default of
 * those without one. The most specific entity counts, in Kafka's order: the user before the client
 * id, a name before a default. A client over its quota is answered at once, with the time it has to
 * wait (KIP-219), and nothing is read from its connection that long. What 10 s allow may come at
 * once, as in Kafka, whose window is 11 samples of 1 s.
 *
 *   producer_byte_rate        bytes of Produce requests, which are all stored
 *   consumer_byte_rate        bytes of fetched batches. Who owes gets none, and no charge; others
 *                             get what may come at once, but a batch whole (fetch.c F5)
 *   request_percentage        time that requests take on the loop; 100 is all of it: there is one
 *                             loop (Kafka has 100 per thread). Waits for 1 s at most, as Kafka's
 *   controller_mutation_rate  partitions created and deleted (KIP-599); 11 s may come at once,
 * which is Kafka's default for it. Who is over it is refused where the version of his request knows
 * the error, else told to wait
 *
 * An address (IP, or the default of those without a quota) has one quota of its own:
 *
 *   connection_creation_rate  connections; one second's may come at once. Who is over it waits, up
 * to QUOTA_CONNECT_WAIT_NS, before anything is read from the connection; one that would wait longer
 * is closed, and not counted
 *
 * Invariants
 *   Q1 connections of one user (client id, pair) share one bucket: more of them get no more
 *   Q2 there are QUOTA_BUCKETS_MAX buckets at most; who finds no free one shares his quota's own
 *   Q3 no more is owed than one batch or one burst of fetched bytes, and, of produced bytes and of
 *      time, than what came in the last one to two windows (QUOTA_WINDOW_NS): who connects again
 *      instead of waiting does not make all others of his name wait for ever
 *
 * Thread: the loop's.
 */
#include "broker/kafka/request.h"
#include "log/log.h"

enum { QUOTA_NAME_MAX = 255, QUOTA_BUCKETS_MAX = 16384, QUOTAS_MAX = 10000 };
#define QUOTA_WAIT_MAX_NS     (3600 * S_NS)
#define QUOTA_WINDOW_NS       (11 * S_NS) /* Kafka's quota.window.num samples of 1 s */
#define QUOTA_CONNECT_WAIT_NS (S_NS)

enum quota_kind {
	QUOTA_PRODUCE,
	QUOTA_FETCH,
	QUOTA_REQUEST,
	QUOTA_MUTATION,
	QUOTA_CONNECT,
	QUOTA_KINDS
};
struct quota_spec {
	const char *name; /* Kafka's key, "producer_byte_rate" */
	const char *unit; /* of what is set */
	double min;       /* that may be set */
	double amount;    /* that is charged for, in one unit: ns for a percent */
	double burst_s;   /* so many seconds' worth may come at once */
	int64_t wait_max_ns;
	bool forgets; /* what came before the last two windows is not owed any more */
};
extern const struct quota_spec quota_specs[QUOTA_KINDS];

/* One half of an entity. An address stands where a user does, and has no other half. */
enum quota_who {
	QUOTA_ABSENT,
	QUOTA_DEFAULT,
	QUOTA_NAMED,
	QUOTA_ADDRESS, /* named, too */
	QUOTA_ADDRESS_DEFAULT
};
static inline bool quota_who_is_named(enum quota_who who)
{
	return who == QUOTA_NAMED || who == QUOTA_ADDRESS;
}
static inline bool quota_who_is_address(enum quota_who who)
{
	return who >= QUOTA_ADDRESS;
}
struct quota_entity {
	enum quota_who user_is, client_is;
	struct str user, client; /* when named */
};
struct quota {
	struct quota_entity who;  /* its names stand behind this struct */
	double rate[QUOTA_KINDS]; /* as set; 0 = not set */
	uint8_t key[2 * (2 + QUOTA_NAME_MAX)];
	size_t key_len;
};
struct quotas {
	struct log_table *table;
	struct map at;           /* quota.key -> struct quota */
	struct map buckets;      /* entity of the client -> struct quota_bucket */
	size_t set[QUOTA_KINDS]; /* quotas of that kind */
};

/* Reads the table; blocks. The errors of log_table_open. */
MUST_USE enum err quotas_open(struct log *log, struct quotas **ret_quotas);
void quotas_close(struct quotas *q);

/* NULL when there is none. */
const struct quota *quota_at(const struct quotas *q, const struct quota_entity *who);
/* The quota of `kind` that holds for a client; NULL: none. user without "User:". */
const struct quota *quota_of(
    const struct quotas *q, enum quota_kind kind, struct str user, struct str client);
/*
 * Charges the client `amount` (bytes, ns, partitions) at `now_ns`; the time it has to wait, 0 when
 * it is within its quota. An amount of 0 asks whether it is.
 */
int64_t quota_charge(struct quotas *q, enum quota_kind kind, struct str user, struct str client,
    double amount, int64_t now_ns);
/*
 * What may come now, 1 at least and SIZE_MAX without a quota; 0: the client owes, and how long it
 * has to wait.
 */
size_t quota_room(struct quotas *q, enum quota_kind kind, struct str user, struct str client,
    int64_t now_ns, int64_t *ret_wait_ns);
/* A connection from `host` begins: how long it has to wait; LIMIT: too long, it is not counted. */
MUST_USE enum err quota_connect(
    struct quotas *q, struct str host, int64_t now_ns, int64_t *ret_wait_ns);
/*
 * The same for the client of `req`, whose connection then rests, and who is told so in the answer.
 * True when it is within its quota.
 */
bool request_charge(struct request *req, enum quota_kind kind, double amount);
/* What may come for it now, as quota_room; 0: it rests, and is told so. */
size_t request_room(struct request *req, enum quota_kind kind);

/* Rows of __kappa_quotas. Key: version u8 = 0, kind u8, then user (or address) and client: who u8,
 * length u8, name. Value: version u8 = 0, what was set as a big-endian double. A tombstone removes.
 */
void quota_row_key(struct writer *w, enum quota_kind kind, const struct quota_entity *who);
void quota_row_value(struct writer *w, double rate);
