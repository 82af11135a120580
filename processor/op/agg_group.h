/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The state of one group, and the operator over them: op_aggregate.c takes rows in, agg_group.c is
 * the groups' life in the table (bytes, images, multisets), op_aggregate_out.c sends changes on.
 *
 * State bytes: u8 version 1, uvarint rows, uvarint first sequence, uvarint last - first, uvarint
 * record count, the shown key (uvarint length, datum bytes) where keys print in several ways, then
 * each slot (agg_state.c).
 */
#include "processor/op/agg_slot.h"
#include "processor/op/op_node.h"

/* In the entry, before the slots. */
struct group {
	struct op_lineage lineage;
	int64_t rows; /* of the input; an entry with none is empty */
	uint8_t
	    *shown; /* key columns as datum bytes, as first seen; NULL where the key bytes say it */
	uint64_t shown_len;
};
enum { GROUP_WIDTH = 48, AGG_STATE_VERSION = 1 };
_Static_assert(
    sizeof(struct group) == GROUP_WIDTH && GROUP_WIDTH % 16 == 0, "slots behind it are aligned");

/* What an aggregate takes from the rows of a batch. */
struct slot_input {
	struct vec v;
	uint8_t *use; /* rows that count: filter true, argument not NULL; NULL = all */
};
struct aggregate {
	struct op op;
	struct state_table groups;
	struct state_table
	    parts; /* members of DISTINCT sets; changes of multisets on their way to the store */
	struct table_kind group_kind;
	struct agg_slot *slots;
	uint32_t slot_count;
	struct slot_input *inputs; /* per slot, of the batch at hand */
	uint32_t *keys;            /* group columns of the input */
	uint32_t key_count;
	bool retracts;  /* the input does */
	bool distinct;  /* SELECT DISTINCT: rows beyond the first of a key change nothing */
	bool shows_key; /* some key column prints in several ways and the input is append-only */
	bool with_rows; /* this state travels with the output rows */
	bool has_bags;
	struct writer key; /* scratch for part keys */
};

/* Part entries: how often the value is there. */
struct member {
	int64_t count;
	uint64_t group_len; /* of a multiset's member: how much of its key is the group's */
};

extern const struct table_kind member_kind;
void group_kind_init(struct table_kind *kind, size_t slots_width);
static inline struct group *group_of(const struct entry *e)
{
	return entry_state(e);
}
static inline void *slot_state(const struct agg_slot *s, const struct entry *e)
{
	return (uint8_t *)entry_state(e) + s->offset;
}
/* The part key of a value of `e` in `slot`, in a->key. */
MUST_USE enum err group_part_key(struct aggregate *a, const struct entry *e,
    const struct agg_slot *s, struct datum d, struct bytes *ret_key);
/* Loads the multiset of `slot` if it is not in memory. */
MUST_USE enum err group_load_bag(struct aggregate *a, struct entry *e, const struct agg_slot *s);
/* Counts a value in or out of the slot's multiset, and the change on its way to the store. */
MUST_USE enum err group_bag_add(
    struct aggregate *a, struct entry *e, const struct agg_slot *s, struct datum d, int32_t weight);
/* Counts a value in or out of a DISTINCT set; its weight becomes +1 when it appeared, -1 when it
 * vanished, else 0. */
MUST_USE enum err group_member_add(
    struct aggregate *a, const struct entry *e, const struct agg_slot *s, struct agg_value *v);
/* Many at once, and what that does to the aggregate. */
MUST_USE enum err group_members_add(struct aggregate *a, struct arena *arena,
    const struct agg_slot *s, const struct slot_rows *rows);

/* Sends all changes since the last flush. */
MUST_USE enum err aggregate_send(struct aggregate *a);
