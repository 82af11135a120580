/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Random messages for every row of the message table. */
#include "broker/kafka/codec.h"

struct kafka_random {
	struct prng *rng;
	struct arena *arena;         /* of what the message points to */
	const struct str *names;     /* strings are often one of these */
	size_t name_count;           /* 0: only random bytes */
	bool names_only;             /* never random bytes: they would be no UTF-8 */
	const struct bytes *records; /* likewise for records */
	size_t records_count;
	bool tame; /* numbers are mostly small */
};
/* Fills in a message of form.shape->size bytes; tagged fields keep their default half of the time.
 */
void kafka_random_fill(const struct kafka_random *k, struct msg_form form, void *message);
