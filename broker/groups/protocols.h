/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What members of the classic protocol say they can be assigned by, and how many of a group know
 * each, so that a join needs not ask them all. Thread: the owner's.
 */
#include "log/base/base.h"

struct group_protocol {
	struct str name;
	struct bytes metadata;
};

/* What protocols_copy takes. */
size_t protocols_len(const struct group_protocol *from, size_t count);
/* One block with what it points to. */
MUST_USE enum err protocols_copy(
    const struct group_protocol *from, size_t count, struct group_protocol **ret_copy);
bool protocols_have(const struct group_protocol *protocols, size_t count, struct str name);

/* A map of these by name; a name that a member says twice counts once. */
struct protocol_support {
	size_t members;
	char *name;
};
/* All of them or none. */
MUST_USE enum err support_add(
    struct map *support, const struct group_protocol *protocols, size_t count);
void support_drop(struct map *support, const struct group_protocol *protocols, size_t count);
/* How many members know it. */
size_t support_count(const struct map *support, struct str name);
