/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whether some member of a group, of either kind, is subscribed to a topic: its offsets are neither
 * deleted by OffsetDelete nor expired. Who cannot say, says yes. For use within one callback of the
 * loop: it borrows from the members. Thread: the loop's.
 */
#include "broker/groups/groups.h"

struct subscribed {
	const struct group_entry *entry;
	struct map names; /* of a classic group: topics */
	bool all;         /* a subscription is unreadable */
};
/* NOMEM: release all the same. */
MUST_USE enum err subscribed_init(struct subscribed *s, const struct group_entry *e);
void subscribed_release(struct subscribed *s);
bool subscribed_to(const struct subscribed *s, struct str topic);
