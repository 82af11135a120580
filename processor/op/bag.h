/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An ordered multiset of byte strings (key_encode order), each with a count and a payload: what min
 * and max of a retracting input and DISTINCT ON's candidates need, because any of them may become
 * the best one. A treap whose priorities are the keys' hashes under the process seed, so that input
 * cannot unbalance it. Memory comes from the caller's slab.
 */
#include "processor/op/slab.h"

struct bag_node {
	struct bag_node *left, *right;
	uint64_t priority;
	int64_t count;
	uint32_t key_len, payload_len;
	uint8_t bytes[]; /* key, payload */
};
struct bag {
	struct bag_node *root;
};
static inline struct bytes bag_key(const struct bag_node *n)
{
	return bytes_of(n->bytes, n->key_len);
}
static inline struct bytes bag_payload(const struct bag_node *n)
{
	return bytes_of(n->bytes + n->key_len, n->payload_len);
}
/* Count of `key`, 0 when it is not there. */
int64_t bag_count(const struct bag *b, struct bytes key);
/* Sets the count; 0 removes. The payload of a key that is there already stays. ERR_NOMEM changes
 * nothing. */
MUST_USE enum err bag_set(
    struct bag *b, struct slab *slab, struct bytes key, struct bytes payload, int64_t count);
/* The lowest and highest key; NULL when empty. */
const struct bag_node *bag_first(const struct bag *b);
const struct bag_node *bag_last(const struct bag *b);
void bag_release(struct bag *b, struct slab *slab);
